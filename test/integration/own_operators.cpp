/* SPDX-License-Identifier: MIT */
/* A program that has the plain operators new and delete itself: every other form ends in those (ISO C++20
 * 17.6.3). */
#include "must.h"
#include "opaque.h"
#include "suite.h"

#include <cstdlib>
#include <new>

/* clang declares the sized forms only with -fsized-deallocation; callers of other compilers exist all the same. */
void operator delete(void *, std::size_t) noexcept;
void operator delete[](void *, std::size_t) noexcept;

namespace {

struct alignas(16) header {
	header *self;
};

unsigned made, freed;

} // namespace

/* By their mangled names: gcc warns of a program without the sized forms, which this is to be. */
extern "C" void *_Znwm(std::size_t size)
{
	header *block = static_cast<header *>(std::malloc(sizeof(header) + size));
	must(block);
	block->self = block;
	made++;
	return block + 1;
}

extern "C" void _ZdlPv(void *p)
{
	header *block = static_cast<header *>(p) - 1;
	must(block->self == block);
	freed++;
	std::free(block);
}

namespace {

const std::size_t SIZE = 100;

START_TEST(every_form_of_new_is_the_programs)
{
	void *blocks[] = {
		::operator new(SIZE), ::operator new[](SIZE), ::operator new(SIZE, std::nothrow),
		::operator new[](SIZE, std::nothrow),
	};
	ck_assert_uint_eq(made, 4);
	for (void *block : blocks)
		::operator delete(opaque(block));
	ck_assert_uint_eq(freed, 4);
}
END_TEST

START_TEST(every_form_of_delete_is_the_programs)
{
	::operator delete[](opaque(::operator new(SIZE)));
	::operator delete(opaque(::operator new(SIZE)), SIZE);
	::operator delete[](opaque(::operator new(SIZE)), SIZE);
	::operator delete(opaque(::operator new(SIZE)), std::nothrow);
	::operator delete[](opaque(::operator new(SIZE)), std::nothrow);
	ck_assert_uint_eq(made, 5);
	ck_assert_uint_eq(freed, 5);
}
END_TEST

START_TEST(aligned_forms_stay_a_pair)
{
	const std::align_val_t line{64};
	::operator delete(opaque(::operator new(SIZE, line)), line);
	::operator delete[](opaque(::operator new[](SIZE, line, std::nothrow)), line);
	ck_assert_uint_eq(made, 0);
	ck_assert_uint_eq(freed, 0);
}
END_TEST

} // namespace

int main(int, char **argv)
{
	const TTest *const tests[] = {
		every_form_of_new_is_the_programs,
		every_form_of_delete_is_the_programs,
		aligned_forms_stay_a_pair,
		nullptr,
	};
	return suite_main(argv, "own_operators", tests, 20);
}
