/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "process/handle.h"

int tether_info_get(struct tether *process, struct tether_info *ret)
{
	struct tether_info info = { .size = sizeof(info) };
	size_t given = ret->size;
	int result;

	if (given < sizeof(size_t) + sizeof(int64_t))
		return -TETHER_EINVALID;
	result = table_enter(process->table);
	if (result < 0)
		return result;
	info.pid = process->pid;
	info.parent = process->parent;
	info.state = process->state;
	info.mode = process->mode;
	info.flags = process->flags;
	info.exit_code = process->exit_code;
	info.exit_signal = process->exit_signal;
	info.controller = process->controller;
	info.exec_serial = process->exec_serial;
	/* Nobody tells of the end of a process that is only observed. */
	if (process->observe && observe_ended(process))
		info.state = TETHER_STATE_EXITED;
	table_leave(process->table);

	memcpy(ret, &info, given < sizeof(info) ? given : sizeof(info));
	ret->size = given;
	return 0;
}

int64_t tether_pid(const struct tether *process)
{
	return process->pid;
}
