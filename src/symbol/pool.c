/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/pool.c - the tables of a session: found by file or build-id, counted, thrown out
 *
 *	get ──► known? (device, inode, size, times) ──► reference
 *	          └─ no: read headers ──► known? (build-id and fingerprint) ──► reference
 *	                                    └─ no: make it, without the lock ──► keep, or drop it when another was faster
 *	last put ──► idle list (most recent first) ──► beyond the budget: thrown out
 */
#include "symbol/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* Else uthash ends the host's process when memory is short. After an add, hh.tbl tells: NULL is not added. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum { DEFAULT_IDLE_FILES = 256 };
static const uint64_t default_idle_bytes = UINT64_C(64) << 20;

/* A build-id alone is not enough: a stripped and a prelinked copy of a file have the same. */
struct symbol_key {
	struct elf_build_id build_id;
	uint32_t padding;
	uint64_t fingerprint;
};

struct symbol_file {
	struct symbol_table table;
	struct symbol_pool *pool;
	struct symbol_identity identity;
	struct symbol_key key;
	UT_hash_handle hh_identity, hh_key;
	bool has_identity, has_key; /* it is in that hash */
	uint64_t references;
	uint64_t bytes; /* as counted in the pool */
	TAILQ_ENTRY(symbol_file) entry; /* of the idle list */
};

struct symbol_pool {
	pthread_mutex_t lock;
	struct symbol_file *by_identity, *by_key;
	TAILQ_HEAD(symbol_file_queue, symbol_file) idle;
	uint64_t idle_bytes_limit;
	uint32_t idle_files_limit;
	bool closed; /* freed by its owner: goes with its last table */
	struct symbol_pool_state state;
};

struct symbol_pool *symbol_pool_new(const struct symbol_limits *limits)
{
	struct symbol_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	TAILQ_INIT(&pool->idle);
	pool->idle_bytes_limit = limits && limits->idle_bytes ? limits->idle_bytes : default_idle_bytes;
	pool->idle_files_limit = limits && limits->idle_files ? limits->idle_files : DEFAULT_IDLE_FILES;
	return pool;
}

/* All functions from here to symbol_pool_free() are called with the lock held. */

/* Nobody finds it any more; who has it keeps it. */
static void forget(struct symbol_file *file)
{
	if (file->has_identity)
		HASH_DELETE(hh_identity, file->pool->by_identity, file);
	if (file->has_key)
		HASH_DELETE(hh_key, file->pool->by_key, file);
	file->has_identity = file->has_key = false;
}

static void count_bytes(struct symbol_file *file)
{
	uint64_t bytes = sizeof(*file) + symbol_table_bytes(&file->table);

	file->pool->state.bytes += bytes - file->bytes;
	file->bytes = bytes;
}

static void destroy(struct symbol_file *file)
{
	forget(file);
	file->pool->state.files--;
	file->pool->state.bytes -= file->bytes;
	symbol_table_free(&file->table);
	free(file);
}

static void leave_idle(struct symbol_file *file)
{
	TAILQ_REMOVE(&file->pool->idle, file, entry);
	file->pool->state.idle_files--;
	file->pool->state.idle_bytes -= file->bytes;
}

static void keep_budget(struct symbol_pool *pool, uint32_t files, uint64_t bytes)
{
	while (!TAILQ_EMPTY(&pool->idle) && (pool->state.idle_files > files || pool->state.idle_bytes > bytes)) {
		struct symbol_file *oldest = TAILQ_LAST(&pool->idle, symbol_file_queue);
		leave_idle(oldest);
		destroy(oldest);
		pool->state.evictions++;
	}
}

static struct symbol_file *take_reference(struct symbol_file *file)
{
	if (!file->references++)
		leave_idle(file);
	return file;
}

static bool serves(const struct symbol_file *file, const struct symbol_source *source)
{
	return (!file->table.partial || source->flags & SYMBOL_NO_DEBUG_FILES) &&
	       (!file->table.lacks_symbols || !source->fetched);
}

/* Another takes its place. */
static void displace(struct symbol_file *old)
{
	forget(old);
	if (!old->references) {
		leave_idle(old);
		destroy(old);
	}
}

static void add_identity(struct symbol_file *file, const struct symbol_identity *identity)
{
	struct symbol_pool *pool = file->pool;
	struct symbol_file *old;

	HASH_FIND(hh_identity, pool->by_identity, identity, sizeof(*identity), old);
	if (old == file)
		return;
	if (old)
		displace(old);
	if (file->has_identity)
		HASH_DELETE(hh_identity, pool->by_identity, file);
	file->identity = *identity;
	HASH_ADD(hh_identity, pool->by_identity, identity, sizeof(file->identity), file);
	file->has_identity = file->hh_identity.tbl != NULL;
}

static void add_key(struct symbol_file *file)
{
	struct symbol_pool *pool = file->pool;
	struct symbol_file *old;

	HASH_FIND(hh_key, pool->by_key, &file->key, sizeof(file->key), old);
	if (old)
		displace(old);
	HASH_ADD(hh_key, pool->by_key, key, sizeof(file->key), file);
	file->has_key = file->hh_key.tbl != NULL;
}

static struct symbol_file *find_identity(struct symbol_pool *pool, const struct symbol_source *source,
					 const struct symbol_identity *identity)
{
	struct symbol_file *file;

	HASH_FIND(hh_identity, pool->by_identity, identity, sizeof(*identity), file);
	return file && serves(file, source) ? file : NULL;
}

static struct symbol_file *find_key(struct symbol_pool *pool, const struct symbol_source *source,
				    const struct symbol_key *key)
{
	struct symbol_file *file;

	HASH_FIND(hh_key, pool->by_key, key, sizeof(*key), file);
	return file && serves(file, source) ? file : NULL;
}

void symbol_pool_trim(struct symbol_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	keep_budget(pool, 0, 0);
	pthread_mutex_unlock(&pool->lock);
}

/* Gives the lock back, and the pool with its last table. */
static void unlock(struct symbol_pool *pool)
{
	bool gone = pool->closed && !pool->state.files;

	pthread_mutex_unlock(&pool->lock);
	if (gone) {
		pthread_mutex_destroy(&pool->lock);
		free(pool);
	}
}

void symbol_pool_free(struct symbol_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	keep_budget(pool, 0, 0);
	pool->closed = true;
	unlock(pool);
}

void symbol_pool_state(const struct symbol_pool *pool, struct symbol_pool_state *ret)
{
	union {
		const struct symbol_pool *from;
		struct symbol_pool *to;
	} locked = { .from = pool }; /* the lock is no part of the state */

	pthread_mutex_lock(&locked.to->lock);
	*ret = pool->state;
	pthread_mutex_unlock(&locked.to->lock);
}

/* ---- one table ------------------------------------------------------------------------------------------ */

/* What a request for a table knows by the time that it must be made. */
struct request {
	struct symbol_pool *pool;
	const struct symbol_source *source;
	struct symbol_identity identity;
	struct symbol_key key;
	bool has_identity, has_key;
};

/* In the pool already, by what is known so far; NULL: not. */
static struct symbol_file *look_up(struct request *request)
{
	struct symbol_pool *pool = request->pool;
	struct symbol_file *file = NULL;

	pthread_mutex_lock(&pool->lock);
	if (request->has_key) {
		file = find_key(pool, request->source, &request->key);
		if (file && request->has_identity)
			add_identity(file, &request->identity);
	} else if (request->has_identity) {
		file = find_identity(pool, request->source, &request->identity);
	}
	if (file) {
		take_reference(file);
		pool->state.hits++;
	}
	pthread_mutex_unlock(&pool->lock);
	return file;
}

/* Into the pool with a new one; or what another thread has made meanwhile. */
static struct symbol_file *keep(struct request *request, struct symbol_file *made)
{
	struct symbol_pool *pool = request->pool;
	struct symbol_file *file = NULL;

	pthread_mutex_lock(&pool->lock);
	pool->state.builds++;
	if (request->has_key)
		file = find_key(pool, request->source, &request->key);
	else if (request->has_identity)
		file = find_identity(pool, request->source, &request->identity);
	if (file) {
		take_reference(file);
		pthread_mutex_unlock(&pool->lock);
		symbol_table_free(&made->table);
		free(made);
		return file;
	}
	made->pool = pool;
	made->key = request->key;
	made->references = 1;
	pool->state.files++;
	count_bytes(made);
	if (request->has_key)
		add_key(made);
	if (request->has_identity)
		add_identity(made, &request->identity);
	pthread_mutex_unlock(&pool->lock);
	return made;
}

static int make(struct request *request, struct symbol_input *input, struct symbol_file **ret)
{
	struct symbol_file *file;
	int error;

	request->key.fingerprint = input->tables.fingerprint;
	request->key.build_id = input->tables.build_id;
	request->has_key = input->tables.build_id.size != 0;
	file = request->has_key ? look_up(request) : NULL;
	if (!file) {
		file = calloc(1, sizeof(*file));
		if (!file)
			return -ENOMEM;
		error = symbol_table_make(&file->table, input);
		if (error) {
			free(file);
			return error;
		}
		file = keep(request, file);
	}
	*ret = file;
	return 0;
}

int symbol_file_get(struct symbol_pool *pool, const struct symbol_source *source, struct symbol_file **ret)
{
	struct request request;
	struct symbol_input *input;
	struct symbol_file *file;
	int error;

	if (source->size != sizeof(*source) || (source->fd < 0 && (!source->memory || !source->image)))
		return -EINVAL;
	memset(&request, 0, sizeof(request)); /* keys are compared with their padding */
	request.pool = pool;
	request.source = source;
	if (source->fd >= 0) {
		error = symbol_identify(source->fd, &request.identity);
		if (error)
			return error;
		request.has_identity = true;
		file = look_up(&request);
		if (file) {
			*ret = file;
			return 0;
		}
	}
	input = malloc(sizeof(*input));
	if (!input)
		return -ENOMEM;
	error = symbol_input_open(input, source, request.identity.size);
	if (!error) {
		error = make(&request, input, ret);
		symbol_input_close(input);
	}
	free(input);
	return error;
}

struct symbol_file *symbol_file_ref(struct symbol_file *file)
{
	pthread_mutex_lock(&file->pool->lock);
	file->references++;
	pthread_mutex_unlock(&file->pool->lock);
	return file;
}

void symbol_file_put(struct symbol_file *file)
{
	struct symbol_pool *pool;

	if (!file)
		return;
	pool = file->pool;
	pthread_mutex_lock(&pool->lock);
	count_bytes(file); /* an index of names may have come */
	if (!--file->references) {
		TAILQ_INSERT_HEAD(&pool->idle, file, entry);
		pool->state.idle_files++;
		pool->state.idle_bytes += file->bytes;
		if (!file->has_identity && !file->has_key)
			displace(file); /* nobody will find it */
		else if (pool->closed)
			keep_budget(pool, 0, 0);
		else
			keep_budget(pool, pool->idle_files_limit, pool->idle_bytes_limit);
	}
	unlock(pool);
}

int symbol_file_at(const struct symbol_file *file, uint64_t address, struct symbol *ret)
{
	return symbol_table_at(&file->table, address, ret);
}

int symbol_file_find(const struct symbol_file *file, const char *name, struct symbol *ret)
{
	union {
		const struct symbol_file *from;
		struct symbol_file *to;
	} mutable = { .from = file }; /* its index of names comes into being, atomically */

	return symbol_table_find(&mutable.to->table, name, ret);
}

int symbol_file_each(const struct symbol_file *file, int (*visit)(const struct symbol *symbol, void *data), void *data)
{
	return symbol_table_each(&file->table, visit, data);
}

size_t symbol_file_count(const struct symbol_file *file)
{
	return file->table.entries;
}

size_t symbol_file_bytes(const struct symbol_file *file)
{
	return sizeof(*file) + symbol_table_bytes(&file->table);
}

const struct elf_build_id *symbol_file_build_id(const struct symbol_file *file)
{
	return &file->table.build_id;
}

bool symbol_file_is_partial(const struct symbol_file *file)
{
	return file->table.partial;
}

bool symbol_file_lacks_symbols(const struct symbol_file *file)
{
	return file->table.lacks_symbols;
}

const char *symbol_file_origin(const struct symbol_file *file)
{
	return file->table.origin;
}

const char *symbol_file_complaint(const struct symbol_file *file)
{
	return file->table.complaint;
}
