/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/error.h - what can go wrong, why, and what would allow it
 *
 * Every function of the library returns 0 or more on success and a negative code on failure: either a
 * negated errno(3) value, or a negated TETHER_E* value (all of these are 4096 and above, so the two never
 * meet). On failure no output is touched. A caller that wants the details (which pid, which path, which
 * errno) passes a struct tether_error; there is no "last error".
 */
#ifndef TETHER_ERROR_H
#define TETHER_ERROR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TETHER_API __attribute__((visibility("default")))
#else
#define TETHER_API
#endif

/* One row: value (never reused), name, what happened, what would allow it. */
#define TETHER_ERRORS(X)                                                                                        \
	X(4096, EGONE, "no such process", "check the pid; the process may have ended")                          \
	X(4097, ETRACED, "already traced", "detach the other tracer first")                                     \
	X(4098, EYAMA, "refused by the Yama security module",                                                   \
	  "start it through tether, or set /proc/sys/kernel/yama/ptrace_scope to 0, or run as root")            \
	X(4099, EPRIV, "no permission to control it", "run as the same user, or with CAP_SYS_PTRACE")           \
	X(4100, EDUMPABLE, "it has made itself non-dumpable", "run with CAP_SYS_PTRACE")                         \
	X(4101, EKTHREAD, "a kernel thread", "kernel threads cannot be held")                                   \
	X(4102, EZOMBIE, "it has ended and waits for its parent", "nothing is left to hold")                    \
	X(4103, ESELF, "the calling process, one that it descends from, or a part of tether",                 \
	  "ask from another process")                                                                           \
	X(4104, EFORKED, "the handle belongs to the parent of this process", "open a session in this process")  \
	X(4105, EDEADLK, "a wait that could never end", "call it outside the handler")                          \
	X(4106, EBUSY, "a dispatch is already running", "dispatch from one thread at a time")                   \
	X(4107, EEXITED, "it exited before it reached the stop", "see its exit status")                         \
	X(4108, ESIGNALED, "a signal ended it before it reached the stop", "see the signal")                    \
	X(4109, EUNOBSERVABLE, "it runs an executable that may not be observed",                                \
	  "run as a user who may read the executable, or with CAP_SYS_PTRACE")                                  \
	X(4110, ENOMAIN, "the program has no C main function", "use the stop create or preinit")                \
	X(4111, ELOST, "the hold was lost", "grab it again")                                                    \
	X(4112, ETIMEDOUT, "it took too long", "allow a longer time")                                           \
	X(4113, EEXEC, "cannot execute", "see the error of execve(2)")                                          \
	X(4114, ECONTROLLER, "cannot start the controller", "install tether-controller, or set TETHER_CONTROLLER") \
	X(4115, EVERSION, "library and controller are of different builds", "install both from one build")      \
	X(4116, EMODE, "not possible with this kind of handle", "take a control grab")                          \
	X(4117, ECLOSED, "the session is closed", "open a new session")                                         \
	X(4118, EMEMORY, "no such memory in the victim", "check the address against the victim's maps")         \
	X(4119, ELIMIT, "a limit was reached", "see src/base/limits.h")                                         \
	X(4120, ESTATE, "the victim is not in a state that permits this", "see the function's manual page")     \
	X(4121, ETHREAD, "a thread, not a process", "use the pid of its process")                               \
	X(4122, EINVALID, "an option is not valid", "see the function's manual page")                           \
	X(4123, ESHARED, "it shares its memory with a process that another session holds",                      \
	  "let the other session go first")                                                                     \
	X(4124, EMACHINE, "a victim of another machine type", "only x86-64 victims are supported")              \
	X(4125, EPROTOCOL, "the controller broke the protocol", "report this as a bug")                         \
	X(4126, ENOTFOUND, "not found", "check the name")                                                       \
	X(4127, EMONITOR, "it is held without its linker's breakpoint, and nothing may be written into it",     \
	  "take it without TETHER_NO_MONITOR")

enum tether_error_code {
#define X(value, name, text, cure) TETHER_##name = (value),
	TETHER_ERRORS(X)
#undef X
};

/**
 * struct tether_error - the details of one failure, filled for the caller
 *
 * The caller sets @size to sizeof(struct tether_error) and owns it. Fields that do not apply are 0 or empty.
 */
struct tether_error {
	size_t size;
	int code;           /* the positive code: errno or TETHER_E* */
	int system_error;   /* errno of the system call that failed, or 0 */
	int64_t pid;        /* the process asked for */
	int64_t other_pid;  /* who stands in the way: the tracer of a traced process */
	int32_t status;     /* TETHER_EEXITED: exit status; TETHER_ESIGNALED: signal number */
	char path[512];     /* the file concerned */
	char message[768];  /* whole sentence for people, cure included: "cannot grab 99: ...; ..." */
};

#define TETHER_ERROR_INIT { sizeof(struct tether_error), 0, 0, 0, 0, 0, { 0 }, { 0 } }

/**
 * tether_strerror - the text of a code
 * @code: a value returned by this library (sign does not matter)
 * Return: a static string, never NULL; for errno values the text of strerrordesc_np(3)
 * Threads: any; in a handler and in a forked child: yes
 * See: errno(3), strerror(3)
 */
TETHER_API const char *tether_strerror(int code);

/**
 * tether_error_name - the symbolic name of a code, as the command prints it ("EGONE", "ENOENT")
 * @code: a value returned by this library (sign does not matter)
 * Return: a static string, never NULL ("EUNKNOWN" for a code nobody knows)
 * Threads: any; in a handler and in a forked child: yes
 * See: errno(3), strerrorname_np(3)
 */
TETHER_API const char *tether_error_name(int code);

/**
 * tether_error_cure - what would allow it
 * @code: a value returned by this library (sign does not matter)
 * Return: a static string, empty for errno values, never NULL
 * Threads: any; in a handler and in a forked child: yes
 * See: errno(3), ptrace(2), Documentation/admin-guide/LSM/Yama.rst of the kernel
 */
TETHER_API const char *tether_error_cure(int code);

#ifdef __cplusplus
}
#endif
#endif
