/* SPDX-License-Identifier: MIT */
#include "os/conf.h"

#include "base/print.h"
#include "os/os.h"

#include <string.h>

#include <vmalloc.h>

enum kind { BYTES, COUNT, SWITCH };

struct option {
	const char *name;
	const char *help;
	uint64_t *value;
	uint64_t least;
	uint64_t greatest;
	enum kind kind;
};

struct conf vm_options = {
#define VM_OPTION_DEFAULT(name, kind, initial, least, greatest, help) .name = (initial),
	VM_OPTIONS(VM_OPTION_DEFAULT)
};

static const struct option options[] = {
#define VM_OPTION_ROW(name, kind, initial, least, greatest, help)                                  \
	{#name, help, &vm_options.name, least, greatest, kind},
	VM_OPTIONS(VM_OPTION_ROW)
};

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

/* Where the settings come from that are being read. */
static const char *source;

struct span {
	const char *text;
	size_t length;
};

static bool span_equals(struct span span, const char *text)
{
	return strlen(text) == span.length && !memcmp(span.text, text, span.length);
}

static void print_value(struct print *line, enum kind kind, uint64_t value)
{
	static const struct {
		uint64_t bytes;
		const char *suffix;
	} units[] = {{GIB, "G"}, {MIB, "M"}, {KIB, "K"}};

	if (kind == SWITCH) {
		vm_print_text(line, value ? "true" : "false");
		return;
	}
	for (size_t i = 0; kind == BYTES && i < sizeof units / sizeof units[0]; i++) {
		if (value && value % units[i].bytes == 0) {
			vm_print_number(line, value / units[i].bytes);
			vm_print_text(line, units[i].suffix);
			return;
		}
	}
	vm_print_number(line, value);
}

static void print_accepted(struct print *line, const struct option *option)
{
	if (option->kind == SWITCH) {
		vm_print_text(line, "true or false");
		return;
	}
	print_value(line, option->kind, option->least);
	vm_print_text(line, " to ");
	print_value(line, option->kind, option->greatest);
}

static void finish_line(struct print *line)
{
	vm_print_text(line, "\n");
	vm_os_write_error(line->text, line->length);
}

static void complain_of_name(struct span name)
{
	char buffer[400];
	struct print line = print_to(buffer, sizeof buffer);
	vm_print_text(&line, "libvmalloc: ");
	vm_print_text(&line, source);
	vm_print_text(&line, ": unknown option \"");
	vm_print_chars(&line, name.text, min_size(name.length, 64));
	vm_print_text(&line, "\"; accepted are");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		vm_print_text(&line, i ? ", " : " ");
		vm_print_text(&line, options[i].name);
	}
	finish_line(&line);
}

static void complain_of_value(const struct option *option, struct span value)
{
	char buffer[400];
	struct print line = print_to(buffer, sizeof buffer);
	vm_print_text(&line, "libvmalloc: ");
	vm_print_text(&line, source);
	vm_print_text(&line, ": bad value \"");
	vm_print_chars(&line, value.text, min_size(value.length, 64));
	vm_print_text(&line, "\" for ");
	vm_print_text(&line, option->name);
	vm_print_text(&line, "; accepted is ");
	print_accepted(&line, option);
	vm_print_text(&line, ", kept ");
	print_value(&line, option->kind, *option->value);
	finish_line(&line);
}

static bool parse_number(struct span text, bool with_unit, uint64_t *value)
{
	static const char units[] = "KMG";
	uint64_t number = 0;
	size_t i = 0;
	for (; i < text.length && text.text[i] >= '0' && text.text[i] <= '9'; i++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(text.text[i] - '0'), &number))
			return false;
	if (i == 0)
		return false;
	if (with_unit && i + 1 == text.length) {
		const char *unit = strchr(units, text.text[i] & ~0x20);
		if (!unit || !*unit)
			return false;
		if (__builtin_mul_overflow(number, KIB << 10 * (unit - units), &number))
			return false;
		i++;
	}
	*value = number;
	return i == text.length;
}

static bool parse_value(const struct option *option, struct span text, uint64_t *value)
{
	if (option->kind == SWITCH) {
		*value = span_equals(text, "true");
		return *value || span_equals(text, "false");
	}
	return parse_number(text, option->kind == BYTES, value) && *value >= option->least &&
	       *value <= option->greatest;
}

static void set(struct span name, struct span text)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!span_equals(name, options[i].name))
			continue;
		uint64_t value;
		if (parse_value(&options[i], text, &value))
			*options[i].value = value;
		else
			complain_of_value(&options[i], text);
		return;
	}
	complain_of_name(name);
}

/* The settings of "name:value,name:value"; empty ones are passed over. */
static void read_settings(const char *from, const char *settings)
{
	source = from;
	while (settings && *settings) {
		size_t length = strcspn(settings, ",");
		if (length) {
			size_t name_length = strcspn(settings, ":,");
			size_t value_at = min_size(name_length + 1, length);
			set((struct span){settings, name_length},
			    (struct span){settings + value_at, length - value_at});
		}
		settings += length + (settings[length] == ',');
	}
}

static void print_table(void)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		char buffer[240];
		struct print line = print_to(buffer, sizeof buffer);
		vm_print_text(&line, "libvmalloc: ");
		vm_print_text(&line, options[i].name);
		vm_print_text(&line, ":");
		print_value(&line, options[i].kind, *options[i].value);
		vm_print_text(&line, " (");
		print_accepted(&line, &options[i]);
		vm_print_text(&line, ") ");
		vm_print_text(&line, options[i].help);
		finish_line(&line);
	}
}

void vm_conf_init(void)
{
	if (&vm_conf)
		read_settings("vm_conf", vm_conf);
	if (!vm_os.secure)
		read_settings("VMALLOC_CONF", vm_os_environment("VMALLOC_CONF"));
	if (vm_options.help)
		print_table();
}
