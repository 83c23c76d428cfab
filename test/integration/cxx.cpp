/* SPDX-License-Identifier: MIT */
/* All forms of operator new and delete: alignment, new-handler, std::bad_alloc, blocks that cross to malloc. */
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <string>
#include <sys/resource.h>
#include <vector>

/* clang declares the sized forms only with -fsized-deallocation; callers of other compilers exist all the same. */
void operator delete(void *, std::size_t) noexcept;
void operator delete[](void *, std::size_t) noexcept;
void operator delete(void *, std::size_t, std::align_val_t) noexcept;
void operator delete[](void *, std::size_t, std::align_val_t) noexcept;

namespace {

const std::size_t TOO_MUCH = std::size_t(PTRDIFF_MAX) - 4096;
int handler_calls;

void *used(void *p, std::size_t size)
{
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_ge(malloc_usable_size(p), size);
	std::memset(p, 1, size);
	return opaque(p);
}

void *used(void *p, std::size_t size, std::align_val_t alignment)
{
	ck_assert_uint_eq(reinterpret_cast<std::uintptr_t>(p) % std::size_t(alignment), 0);
	return used(p, size);
}

void give_up_after_three_calls()
{
	if (++handler_calls == 3)
		std::set_new_handler(nullptr);
}

void throw_bad_alloc()
{
	handler_calls++;
	throw std::bad_alloc();
}

struct refusal {};

void throw_another_type()
{
	throw refusal();
}

void *reserve;

/* What handlers are for: gives up a reserve, after which the allocation succeeds. */
void free_the_reserve()
{
	handler_calls++;
	std::free(reserve);
	reserve = nullptr;
	std::set_new_handler(nullptr);
}

template <typename Allocate> bool throws_bad_alloc(Allocate allocate)
{
	try {
		opaque(allocate());
		return false;
	} catch (const std::bad_alloc &) {
		return true;
	}
}

START_TEST(plain_and_array_forms_allocate_and_free)
{
	for (std::size_t size = 0; size < 3000000; size = size * 2 + 1) {
		::operator delete(used(::operator new(size), size));
		::operator delete[](used(::operator new[](size), size));
		::operator delete(used(::operator new(size), size), size);
		::operator delete[](used(::operator new[](size), size), size);
		::operator delete(used(::operator new(size, std::nothrow), size), std::nothrow);
		::operator delete[](used(::operator new[](size, std::nothrow), size), std::nothrow);
	}
}
END_TEST

START_TEST(aligned_forms_allocate_and_free)
{
	for (std::size_t bits = 0; bits <= 22; bits++)
		for (std::size_t size = 0; size < 300000; size = size * 5 + 1) {
			const auto a = std::align_val_t(std::size_t(1) << bits);
			::operator delete(used(::operator new(size, a), size, a), a);
			::operator delete[](used(::operator new[](size, a), size, a), a);
			::operator delete(used(::operator new(size, a), size, a), size, a);
			::operator delete[](used(::operator new[](size, a), size, a), size, a);
			::operator delete(used(::operator new(size, a, std::nothrow), size, a), a, std::nothrow);
			::operator delete[](used(::operator new[](size, a, std::nothrow), size, a), a, std::nothrow);
		}
}
END_TEST

START_TEST(delete_of_null_does_nothing)
{
	::operator delete(opaque(nullptr));
	::operator delete[](opaque(nullptr));
	::operator delete(opaque(nullptr), 8);
	::operator delete[](opaque(nullptr), 8);
	::operator delete(opaque(nullptr), std::nothrow);
	::operator delete(opaque(nullptr), std::align_val_t(64));
	::operator delete[](opaque(nullptr), 8, std::align_val_t(64));
}
END_TEST

START_TEST(blocks_cross_between_new_and_malloc)
{
	for (std::size_t size = 1; size < 3000000; size = size * 3 + 1) {
		std::free(used(::operator new(size), size));
		::operator delete(used(std::malloc(size), size));
	}
}
END_TEST

START_TEST(a_failing_new_throws_bad_alloc_in_every_form)
{
	const std::size_t n = opaque_size(TOO_MUCH);
	const auto a = std::align_val_t(64);

	ck_assert(throws_bad_alloc([=] { return ::operator new(n); }));
	ck_assert(throws_bad_alloc([=] { return ::operator new[](n); }));
	ck_assert(throws_bad_alloc([=] { return ::operator new(n, a); }));
	ck_assert(throws_bad_alloc([=] { return ::operator new[](n, a); }));
	ck_assert(throws_bad_alloc([] { return ::operator new(opaque_size(SIZE_MAX)); }));
	ck_assert(throws_bad_alloc([=] { return ::operator new(opaque_size(SIZE_MAX), a); }));
}
END_TEST

START_TEST(a_failing_nothrow_new_returns_null_in_every_form)
{
	const std::size_t n = opaque_size(TOO_MUCH);
	const auto a = std::align_val_t(64);

	ck_assert_ptr_null(opaque(::operator new(n, std::nothrow)));
	ck_assert_ptr_null(opaque(::operator new[](n, std::nothrow)));
	ck_assert_ptr_null(opaque(::operator new(n, a, std::nothrow)));
	ck_assert_ptr_null(opaque(::operator new[](n, a, std::nothrow)));
}
END_TEST

START_TEST(the_new_handler_is_called_until_it_is_taken_away)
{
	const std::size_t n = opaque_size(TOO_MUCH);

	handler_calls = 0;
	std::set_new_handler(give_up_after_three_calls);
	ck_assert(throws_bad_alloc([=] { return ::operator new(n); }));
	ck_assert_int_eq(handler_calls, 3);
	handler_calls = 0;
	std::set_new_handler(give_up_after_three_calls);
	ck_assert_ptr_null(opaque(::operator new(n, std::nothrow)));
	ck_assert_int_eq(handler_calls, 3);
	handler_calls = 0;
	std::set_new_handler(give_up_after_three_calls);
	ck_assert(throws_bad_alloc([=] { return ::operator new[](n, std::align_val_t(4096)); }));
	ck_assert_int_eq(handler_calls, 3);
}
END_TEST

START_TEST(nothrow_new_returns_null_when_the_handler_throws)
{
	const std::size_t n = opaque_size(TOO_MUCH);

	handler_calls = 0;
	std::set_new_handler(throw_bad_alloc);
	ck_assert_ptr_null(opaque(::operator new(n, std::nothrow)));
	ck_assert_ptr_null(opaque(::operator new[](n, std::nothrow)));
	ck_assert_ptr_null(opaque(::operator new(n, std::align_val_t(64), std::nothrow)));
	ck_assert_int_eq(handler_calls, 3);
	ck_assert(throws_bad_alloc([=] { return ::operator new(n); }));
	ck_assert_int_eq(handler_calls, 4);
}
END_TEST

START_TEST(what_the_handler_throws_reaches_the_caller_of_new)
{
	bool caught = false;

	std::set_new_handler(throw_another_type);
	try {
		opaque(::operator new(opaque_size(TOO_MUCH)));
	} catch (const refusal &) {
		caught = true;
	}
	ck_assert(caught);
}
END_TEST

START_TEST(the_handler_can_allocate_and_free)
{
	handler_calls = 0;
	reserve = std::malloc(1 << 20);
	std::set_new_handler(free_the_reserve);
	ck_assert(throws_bad_alloc([] { return ::operator new(opaque_size(TOO_MUCH)); }));
	ck_assert_int_eq(handler_calls, 1);
	ck_assert_ptr_null(reserve);
}
END_TEST

rlimit address_space;

void raise_the_limit()
{
	handler_calls++;
	address_space.rlim_cur = address_space.rlim_max;
	must(setrlimit(RLIMIT_AS, &address_space) == 0);
}

START_TEST(what_the_handler_makes_room_for_is_allocated)
{
	suite_skip_in_variant("no-break", "RLIMIT_AS does not refuse a heap that has its addresses reserved");
	std::set_new_handler(raise_the_limit);
	for (int i = 0; i < 2; i++) {
		const std::size_t size = std::size_t(64 << 20) << i; /* more than the first leaves */
		handler_calls = 0;
		must(getrlimit(RLIMIT_AS, &address_space) == 0);
		address_space.rlim_cur = 1 << 20;
		must(setrlimit(RLIMIT_AS, &address_space) == 0);
		void *p = i ? ::operator new(opaque_size(size), std::align_val_t(4096)) :
			      ::operator new(opaque_size(size));
		ck_assert_int_eq(handler_calls, 1);
		::operator delete(used(p, size));
	}
	std::set_new_handler(nullptr);
}
END_TEST

START_TEST(exceptions_and_containers_work)
{
	std::vector<std::string> texts;

	for (int i = 0; i < 20000; i++)
		texts.push_back(std::string(std::size_t(i) % 300, 'x'));
	int caught = 0;
	for (int i = 0; i < 100; i++) {
		try {
			throw std::string(1000, 'y');
		} catch (const std::string &text) {
			caught += text.size() == 1000;
		}
	}
	ck_assert_int_eq(caught, 100);
	for (std::size_t i = 0; i < texts.size(); i++)
		ck_assert_uint_eq(texts[i].size(), i % 300);
}
END_TEST

} // namespace

int main(int, char **argv)
{
	const TTest *const tests[] = {
		plain_and_array_forms_allocate_and_free,
		aligned_forms_allocate_and_free,
		delete_of_null_does_nothing,
		blocks_cross_between_new_and_malloc,
		a_failing_new_throws_bad_alloc_in_every_form,
		a_failing_nothrow_new_returns_null_in_every_form,
		the_new_handler_is_called_until_it_is_taken_away,
		nothrow_new_returns_null_when_the_handler_throws,
		what_the_handler_throws_reaches_the_caller_of_new,
		the_handler_can_allocate_and_free,
		what_the_handler_makes_room_for_is_allocated,
		exceptions_and_containers_work,
		nullptr,
	};
	return suite_main(argv, "cxx", tests, 20);
}
