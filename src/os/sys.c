/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/sys.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#ifdef TETHER_INJECT
#include "os/inject.h"
#endif

static const long numbers[SYS_CALLS] = {
#define X(name) [SYS_CALL_##name] = SYS_##name,
	SYS_TABLE(X)
#undef X
};

long sys_call(enum sys_call call, long a, long b, long c, long d, long e, long f)
{
	int saved = errno;
	long r;

#ifdef TETHER_INJECT
	r = inject_before(call, a, b);
	if (r)
		return r;
#endif
	r = syscall(numbers[call], a, b, c, d, e, f);
	if (r == -1)
		r = -errno;
	errno = saved;
	return r;
}

uint64_t os_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
