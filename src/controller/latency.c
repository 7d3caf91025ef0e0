/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/latency.c - while stops come fast, keep processors from a sleep that takes long to end
 *
 * A hit puts the victim's processor to sleep and wakes it some microseconds later; what that takes is most of a stop.
 * PM QoS holds for as long as the file is open, for the whole system, so it is given back soon after the last stop, and by
 * the kernel whatever becomes of us (Documentation/power/pm_qos_interface.rst).
 */
#include "controller/controller.h"

#include <fcntl.h>
#include <unistd.h>

#include "os/sys.h"

enum { LINGER_NS = 10000000 };

void latency_hold(struct controller *c)
{
	const int32_t none_us = 0;
	long file;

	if (!(c->hold.flags & PROTO_LOW_LATENCY) || c->latency.file || c->latency.refused)
		return;
	file = sys(openat, AT_FDCWD, "/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
	if (file < 0 || sys(write, file, &none_us, sizeof(none_us)) != sizeof(none_us)) {
		c->latency.refused = true;
		if (file >= 0)
			sys(close, file);
		return;
	}
	c->latency.file = (int)file + 1;
	c->latency.stops = c->stats.stops;
	c->latency.check_ns = os_now_ns() + LINGER_NS;
}

void latency_timer(struct controller *c, uint64_t now)
{
	if (!c->latency.file || now < c->latency.check_ns)
		return;
	if (c->latency.stops != c->stats.stops) {
		c->latency.stops = c->stats.stops;
		c->latency.check_ns = now + LINGER_NS;
		return;
	}
	sys(close, c->latency.file - 1);
	c->latency.file = 0;
	c->latency.check_ns = 0;
}
