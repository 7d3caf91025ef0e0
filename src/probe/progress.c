/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/progress.c - how far the planting is that somebody waits for
 *
 * Told by what was handed to the controller: its line takes few messages at a time, so it is not far behind.
 */
#include "probe/inside.h"

void progress_begin(struct tether *process, uint64_t total)
{
	__atomic_store_n(&process->planting_done, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&process->planting_total, total, __ATOMIC_RELAXED);
}

void progress_add(struct tether *process, uint64_t count)
{
	__atomic_fetch_add(&process->planting_done, count, __ATOMIC_RELAXED);
}

int tether_breakpoint_progress(struct tether *process, uint64_t *ret_done, uint64_t *ret_total)
{
	int result = table_enter(process->table);

	if (result < 0)
		return result;
	*ret_total = __atomic_load_n(&process->planting_total, __ATOMIC_RELAXED);
	*ret_done = __atomic_load_n(&process->planting_done, __ATOMIC_RELAXED);
	table_leave(process->table);
	if (*ret_done > *ret_total)
		*ret_done = *ret_total;
	return 0;
}
