/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "os/sys.h"
#include "process/handle.h"
#include "process/sample.h"
#include "process/stack.h"

/* A page that the kernel clears in each forked child: asking for the pid costs more than all else in a short call. */
static const volatile uint32_t *page_of_this_process(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, size, MADV_WIPEONFORK) < 0) {
		munmap(page, size);
		return NULL;
	}
	*page = 1;
	return page;
}

bool table_forked(const struct table *table)
{
	return table->here ? !*table->here : getpid() != table->owner;
}

int table_init(struct table *table, struct host *host, uint64_t idle_bytes)
{
	pthread_condattr_t monotonic;

	memset(table, 0, sizeof(*table));
	STAILQ_INIT(&table->queue);
	LIST_INIT(&table->families);
	LIST_INIT(&table->all);
	LIST_INIT(&table->births);
	LIST_INIT(&table->breakpoints);
	TAILQ_INIT(&table->idle);
	table->host = host;
	table->owner = getpid();
	table->here = page_of_this_process();
	STAILQ_INIT(&table->images);
	table->cache = rtld_cache_new();
	table->symbols = symbol_pool_new(&(struct symbol_limits){ .size = sizeof(struct symbol_limits),
								   .idle_bytes = idle_bytes });
	table->stacks = stack_pool_new();
	if (!table->cache || !table->symbols || !table->stacks) {
		rtld_cache_free(table->cache);
		symbol_pool_free(table->symbols);
		stack_pool_free(table->stacks);
		if (table->here)
			munmap((void *)(uintptr_t)table->here, (size_t)sysconf(_SC_PAGESIZE));
		return -ENOMEM;
	}
	table->idle_bytes = idle_bytes;
	pthread_mutex_init(&table->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&table->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return 0;
}

void table_destroy(struct table *table)
{
	struct operation *operation;
	struct tether *process;

	/* Answers of handlers that came when the control thread had ended: nobody waits for them. */
	while ((operation = STAILQ_FIRST(&table->queue))) {
		STAILQ_REMOVE_HEAD(&table->queue, queued);
		operation_put(operation);
	}
	if (table->hooks)
		table->hooks->end(table);
	while ((process = LIST_FIRST(&table->all))) {
		process->pins = 1;
		free(process->unlocking); /* locked to the end */
		handle_unpin(process);
	}
	images_free(table);
	rtld_cache_free(table->cache);
	stack_pool_free(table->stacks);
	symbol_pool_free(table->symbols);
	if (table->here)
		munmap((void *)(uintptr_t)table->here, (size_t)sysconf(_SC_PAGESIZE));
	pthread_cond_destroy(&table->changed);
	pthread_mutex_destroy(&table->lock);
}

int table_enter(struct table *table)
{
	/* In a forked child the lock may be held for ever by a thread that is not there: do not touch it. */
	if (table_forked(table))
		return -TETHER_EFORKED;
	if (pthread_equal(pthread_self(), table->control))
		return -TETHER_EDEADLK;
	pthread_mutex_lock(&table->lock);
	if (table->closing) {
		pthread_mutex_unlock(&table->lock);
		return -TETHER_ECLOSED;
	}
	table->calls++;
	return 0;
}

void table_leave(struct table *table)
{
	table->calls--;
	if (table->closing)
		pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
}

bool table_in_stop(const struct table *table)
{
	return table->has_handler && pthread_equal(pthread_self(), table->handler);
}

int table_wait(struct table *table, uint64_t until_ns)
{
	const struct timespec until = { (time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u) };

	if (!until_ns)
		pthread_cond_wait(&table->changed, &table->lock);
	else if (pthread_cond_timedwait(&table->changed, &table->lock, &until) == ETIMEDOUT)
		return -TETHER_ETIMEDOUT;
	return table->closing ? -TETHER_ECLOSED : 0;
}

void table_target(struct table *table, int64_t pid)
{
	if (!table->target)
		table->target = pid;
}

struct tether *handle_new(struct table *table, int64_t pid, uint64_t start_time, bool observe)
{
	struct tether *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->space = space_new();
	if (!process->space) {
		free(process);
		return NULL;
	}
	process->table = table;
	process->pid = pid;
	process->start_time = start_time;
	process->observe = observe;
	process->state = TETHER_STATE_RUNNING;
	process->exit_code = -1;
	process->pins = 1;
	object_list_init(&process->objects);
	names_init(&process->names);
	return process;
}

static uint64_t key_of(int64_t pid, bool observe)
{
	return (uint64_t)pid << 1 | observe;
}

/* A process that ended is not listed any more, so a recycled pid never finds the old handle. */
struct tether *handle_find(struct table *table, int64_t pid, bool observe)
{
	struct tether *process;
	uint64_t key = key_of(pid, observe);

	HASH_FIND(hh, table->handles, &key, sizeof(key), process);
	return process;
}

void handle_list(struct tether *process)
{
	process->key = key_of(process->pid, process->observe);
	HASH_ADD(hh, process->table->handles, key, sizeof(process->key), process);
	LIST_INSERT_HEAD(&process->table->all, process, known);
	process->listed = process->hh.tbl != NULL; /* out of memory: not found by a second grab, no more */
	process->is_known = true;
	process->table->processes++;
}

void handle_unlist(struct tether *process)
{
	if (!process->listed)
		return;
	HASH_DEL(process->table->handles, process);
	process->listed = false;
	pthread_cond_broadcast(&process->table->changed); /* who waited for it to go may take it anew */
}

void handle_pin(struct tether *process)
{
	process->pins++;
}

void handle_unpin(struct tether *process)
{
	if (--process->pins)
		return;
	handle_unlist(process);
	if (process->is_known)
		LIST_REMOVE(process, known);
	object_list_clear(&process->objects);
	names_clear(&process->names);
	space_put(process->space);
	blob_put(process->environment);
	blob_put(process->creator_environment);
	sample_put(process->last_stack);
	free(process);
}

void handle_set_state(struct tether *process, enum tether_state state)
{
	pthread_mutex_lock(&process->table->lock);
	process->state = state;
	if (state == TETHER_STATE_EXITED || state == TETHER_STATE_LOST || state == TETHER_STATE_RELEASED)
		handle_unlist(process);
	pthread_mutex_unlock(&process->table->lock);
}

struct operation *operation_new(struct table *table, void (*start)(struct operation *))
{
	return operation_new_sized(table, start, sizeof(struct operation));
}

struct operation *operation_new_sized(struct table *table, void (*start)(struct operation *), size_t size)
{
	struct operation *operation = calloc(1, size);

	if (!operation)
		return NULL;
	operation->table = table;
	operation->start = start;
	operation->users = 1;
	operation->socket = -1;
	operation->error.size = sizeof(operation->error);
	return operation;
}

void operation_get(struct operation *operation)
{
	pthread_mutex_lock(&operation->table->lock);
	operation->users++;
	pthread_mutex_unlock(&operation->table->lock);
}

/* With the lock held by a client thread, without it by the control thread: see operation_put(). */
static void operation_drop(struct operation *operation)
{
	if (--operation->users)
		return;
	if (operation->process)
		handle_unpin(operation->process);
	blob_put(operation->environment);
	image_free(operation->rehearsed);
	free(operation->attendance);
	free(operation->park_on_exec);
	free(operation->path);
	copies_free(operation->copies);
	hanging_clear(&operation->hanging);
	free(operation);
}

void operation_put(struct operation *operation)
{
	struct table *table;

	if (!operation)
		return;
	table = operation->table;
	pthread_mutex_lock(&table->lock);
	operation_drop(operation);
	pthread_mutex_unlock(&table->lock);
}

static void enqueue(struct operation *operation)
{
	operation->submitted = true;
	operation->users++; /* the control thread's */
	STAILQ_INSERT_TAIL(&operation->table->queue, operation, queued);
}

void operation_submit(struct operation *operation)
{
	enqueue(operation);
	operation->table->host->wake(operation->table->host);
}

void operation_hand_over(struct operation *operation)
{
	struct table *table = operation->table;

	pthread_mutex_lock(&table->lock);
	enqueue(operation);
	pthread_mutex_unlock(&table->lock);
	table->host->wake(table->host);
}

int operation_run(struct operation *operation, uint32_t timeout_ms)
{
	struct table *table = operation->table;
	uint64_t until = timeout_ms ? os_now_ns() + UINT64_C(1000000) * timeout_ms : 0;
	int waited = 0;

	if (!operation->submitted)
		operation_submit(operation);
	while (!operation->done && !table->closing && waited == 0)
		waited = table_wait(table, until);
	if (!operation->done) {
		operation->abandoned = true;
		operation->result = table->closing ? -TETHER_ECLOSED : -TETHER_ETIMEDOUT;
	}
	return operation->result;
}

void operation_arrive(struct operation *operation, int result)
{
	struct table *table = operation->table;

	/* Who gives up waiting leaves a result of its own. */
	pthread_mutex_lock(&table->lock);
	if (result < 0 && operation->result == 0)
		operation->result = result;
	result = operation->result;
	pthread_mutex_unlock(&table->lock);
	if (--operation->outstanding == 0)
		operation_finish(operation, result);
}

void operation_finish(struct operation *operation, int result)
{
	struct table *table;

	if (!operation)
		return;
	table = operation->table;
	pthread_mutex_lock(&table->lock);
	if (!operation->done) {
		operation->done = true;
		if (!operation->abandoned)
			operation->result = result;
		pthread_cond_broadcast(&table->changed);
	}
	pthread_mutex_unlock(&table->lock);
}
