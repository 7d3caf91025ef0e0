/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of the sanitizers, for builds with one: the controller is started with an empty environment, so
 * that they cannot come by ASAN_OPTIONS. A finding must end the process with a status that its reader,
 * library or test, takes for a failure.
 */
/* "default" visibility: the run time looks the functions up in the executable. */
#define OPTIONS(name, options)                                                               \
	__attribute__((visibility("default"))) const char *__##name##_default_options(void); \
	const char *__##name##_default_options(void)                                         \
	{                                                                                    \
		return options;                                                              \
	}

OPTIONS(asan, "exitcode=99:detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1")
OPTIONS(ubsan, "halt_on_error=1:exitcode=99:print_stacktrace=1")
OPTIONS(tsan, "exitcode=99:halt_on_error=1:second_deadlock_stack=1")
OPTIONS(lsan, "exitcode=99")
