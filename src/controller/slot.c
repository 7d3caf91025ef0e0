/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/controller.h"

bool slot_go(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	(void)c, (void)t, (void)site, (void)regs;
	return false;
}

bool slot_leave(struct controller *c, struct task *t)
{
	(void)c, (void)t;
	return false;
}

void call_done(struct controller *c, struct task *t)
{
	(void)c, (void)t;
}

void call_abandon(struct controller *c, struct task *t)
{
	(void)c, (void)t;
}
