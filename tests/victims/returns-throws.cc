/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions that pass functions of tests/victims/returns.c's library: what they leave does not return. */
#define EXPORT extern "C" __attribute__((noinline, visibility("default")))

static unsigned long *calls, *returned;

EXPORT void returns_throws(long number)
{
	++*calls;
	throw number;
}

EXPORT void returns_passed(long number)
{
	++*calls;
	returns_throws(number);
	++*returned;
}

EXPORT long returns_catches(long number)
{
	long result = 0;

	++*calls;
	try {
		returns_passed(number);
	} catch (long caught) {
		result = caught;
	}
	++*returned;
	return result;
}

EXPORT void throws_and_catches(long times, unsigned long *count_calls, unsigned long *count_returns)
{
	calls = count_calls;
	returned = count_returns;
	for (long i = 0; i < times; i++)
		if (returns_catches(i) != i)
			__builtin_trap();
}
