/* SPDX-License-Identifier: MIT */
/*
 * new_archive.c - what a failed new of new.c needs of the C++ library, asked for in the archive: a static
 * linker takes no member for the sake of a weak reference.
 */
extern void get_new_handler(void) __asm__("_ZSt15get_new_handlerv");
extern void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv");

__attribute__((used)) static void (*const wanted[])(void) = {get_new_handler, throw_bad_alloc};
