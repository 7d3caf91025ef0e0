/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/capture.c - copy what the linker has listed, so that its process need not wait while it is read
 *
 *	r_debug ──► link map ──► link map ──► …     one after the other: each names the next
 *	   │           └── name
 *	   │           └── first bytes of the object, where it is new      of all of them by one call
 *	   └──► the next namespace's
 *
 * Only bytes are copied, nothing is concluded from them: the library reads the copy as it would read the
 * memory. What was listed the last time is remembered, entry by entry, so that of what is known only that is
 * copied by which it can be told that it is still the same. What is more than this copies, or is not as <link.h>
 * says, is left to the library, with a question.
 */
#include "controller/controller.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/linkmap.h"
#include "controller/site.h"
#include "os/memory.h"
#include "os/sys.h"

enum {
	CAPTURE_NEW = 16,
	CAPTURE_NAME = 256,
	CAPTURE_HEADER = 2048,
	CAPTURE_DYNAMIC = 1024,
	PIECES = CAPTURE_NEW + 1,
	PAGE = PROTO_KEY_PAGE,
};

/* Parts of the scratch memory: what is sent, and behind it pages of the victim. */
enum { NEAR_PAGES = 4, NEAR_AT = PROTO_MESSAGE_MAX - NEAR_PAGES * PAGE };
static_assert(sizeof(struct proto_ev_hit) + sizeof(struct proto_header) + NEAR_AT <= PROTO_MESSAGE_MAX,
	      "a capture does not fit into a message");

/* What a space has listed. An entry is a hash of all by which the library tells it from another. */
enum { LISTED_MAX = 400, LISTED_SPACES = 1024 };
struct listed {
	size_t count;
	uint64_t entry[LISTED_MAX];
};

/*
 * The linker allocates link maps and names one after the other: of those on one page, one read. A page more than there
 * is room for takes the place of the one that was read first.
 */
struct near {
	struct task *task;
	unsigned char *bytes;
	vaddr_t page[NEAR_PAGES]; /* 0: none */
	unsigned next;
};

struct capture {
	struct near near;
	unsigned char *at, *end; /* where the next window goes, and what it may not reach beyond */
	struct iovec into[PIECES], from[PIECES];
	size_t pieces, wanted, found; /* found: new objects */
	const struct listed *before;
	size_t cursor; /* the entry of before that is expected next */
	struct listed now;
};

static const unsigned char *near_page(struct near *near, vaddr_t page)
{
	unsigned i;

	for (i = 0; i < NEAR_PAGES; i++)
		if (page && near->page[i] == page)
			return near->bytes + i * PAGE;
	i = near->next++ % NEAR_PAGES;
	near->page[i] = 0;
	if (task_read(near->task, page, near->bytes + i * PAGE, PAGE))
		return NULL;
	near->page[i] = page;
	return near->bytes + i * PAGE;
}

static bool near_read(struct near *near, vaddr_t at, void *to, size_t length)
{
	size_t offset = at % PAGE, part = PAGE - offset < length ? PAGE - offset : length;
	const unsigned char *page = near_page(near, at - offset);

	if (!page)
		return false;
	memcpy(to, page + offset, part);
	return part == length || near_read(near, at + part, (unsigned char *)to + part, length - part);
}

/* ---- windows ----------------------------------------------------------------------------- */

/* Room for a copy of these bytes; filled by the caller. Windows stay aligned. NULL: there is none. */
static void *window(struct capture *capture, vaddr_t address, size_t length)
{
	struct proto_window head = { .address = address, .length = (uint32_t)length };
	unsigned char *bytes = capture->at + sizeof(head);

	if ((size_t)(capture->end - capture->at) < sizeof(head) + length)
		return NULL;
	memcpy(capture->at, &head, sizeof(head));
	capture->at = bytes + length;
	return bytes;
}

static bool copy(struct capture *capture, vaddr_t address, const void *bytes, size_t length)
{
	void *to = window(capture, address, length);

	if (to)
		memcpy(to, bytes, length);
	return to;
}

/* What is read when all else is known to be worth it. */
static bool piece(struct capture *capture, vaddr_t address, size_t length)
{
	void *to = window(capture, address, length);

	if (!to || capture->pieces == PIECES)
		return false;
	capture->into[capture->pieces] = (struct iovec){ to, length };
	capture->from[capture->pieces++] = (struct iovec){ (void *)(uintptr_t)address, length };
	capture->wanted += length;
	return true;
}

/* ---- entries ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/* A name with its NUL, in whole words; hash goes on with them. False: it has no end, or nothing is there. */
static bool copy_name(struct capture *capture, vaddr_t name, uint64_t *hash)
{
	union {
		unsigned char byte[CAPTURE_NAME];
		uint64_t word[CAPTURE_NAME / sizeof(uint64_t)];
	} text = { { 0 } };
	size_t length = 0, words;
	const unsigned char *end = NULL;

	while (!end && length < sizeof(text)) {
		size_t offset = (name + length) % PAGE, part = PAGE - offset;
		const unsigned char *page = near_page(&capture->near, name + length - offset);

		if (!page)
			return false;
		if (part > sizeof(text) - length)
			part = sizeof(text) - length;
		end = memchr(page + offset, 0, part);
		if (end)
			part = (size_t)(end - (page + offset)) + 1;
		memcpy(text.byte + length, page + offset, part);
		length += part;
	}
	words = (length + sizeof(uint64_t) - 1) / sizeof(uint64_t);
	for (size_t i = 0; i < words; i++)
		*hash = mix(*hash, text.word[i]);
	return end && copy(capture, name, text.byte, words * sizeof(uint64_t));
}

/* Was it there the last time? Mostly the order is the same. */
static bool was_listed(struct capture *capture, uint64_t entry)
{
	const struct listed *before = capture->before;

	for (size_t i = 0; i < before->count; i++) {
		size_t at = (capture->cursor + i) % before->count;

		if (before->entry[at] != entry)
			continue;
		capture->cursor = at + 1;
		return true;
	}
	return false;
}

/*
 * An object that was not there before. What lies at no page's begin has its header elsewhere, for the library to search; but
 * for the program (first), which is known.
 */
static bool copy_new(struct capture *capture, const struct link_map_words *words, bool first)
{
	if (words->addr % PAGE || (!words->addr && !first))
		return false;
	/* More than are copied are counted, so that the next time they are known. */
	if (capture->found++ >= CAPTURE_NEW || !words->addr)
		return true;
	return piece(capture, words->addr, CAPTURE_HEADER);
}

static bool copy_entry(struct capture *capture, vaddr_t at, const struct link_map_words *words, bool first)
{
	uint64_t entry = mix(mix(mix(at, words->addr), words->ld), words->name);

	if (capture->now.count == LISTED_MAX || !copy(capture, at, words, sizeof(*words)) ||
	    (words->name && !copy_name(capture, words->name, &entry)))
		return false;
	capture->now.entry[capture->now.count++] = entry;
	return was_listed(capture, entry) || copy_new(capture, words, first);
}

static bool copy_list(struct capture *capture, vaddr_t at, bool base)
{
	struct link_map_words words;

	for (bool first = base; at; first = false, at = words.next) {
		if (!near_read(&capture->near, at, &words, sizeof(words)) || !copy_entry(capture, at, &words, first))
			return false;
		/* where it is told whether the linker has come to the base namespace */
		if (first && !capture->before->count && !piece(capture, words.ld, CAPTURE_DYNAMIC))
			return false;
	}
	return true;
}

/* All namespaces; of those that are being changed, that they are. */
static bool copy_lists(struct capture *capture, vaddr_t root)
{
	struct r_debug_words words;
	unsigned count = 0;

	for (vaddr_t at = root; at; at = words.base.r_version > 1 ? words.next : 0) {
		if (count++ == MAX_NAMESPACES || !near_read(&capture->near, at, &words, sizeof(words)) ||
		    words.base.r_version < 1 || !copy(capture, at, &words, sizeof(words)))
			return false;
		if (words.base.r_state == RT_CONSISTENT &&
		    !copy_list(capture, (vaddr_t)(uintptr_t)words.base.r_map, at == root))
			return false;
	}
	return true;
}

/* ---- the scratch memory ------------------------------------------------------------------ */

/* As many bytes as most programs' lists take. */
enum { WARM_SIZE = 20 << 10, WARM_PAGES = 2 };
static_assert((int)WARM_SIZE <= (int)NEAR_AT, "the scratch memory is not that large");

void capture_warm(struct controller *c)
{
	volatile unsigned char *page = c->scratch;

	for (size_t at = 0; at < WARM_SIZE; at += PAGE)
		page[at] = 0;
	for (size_t at = 0; at <= WARM_PAGES * PAGE; at += PAGE)
		page[NEAR_AT + at] = 0; /* they lie on one more */
}

void capture_cool(struct controller *c)
{
	uintptr_t first = ((uintptr_t)c->scratch + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	uintptr_t end = ((uintptr_t)c->scratch + PROTO_MESSAGE_MAX) & ~(uintptr_t)(PAGE - 1);

	sys(madvise, first, end - first, MADV_DONTNEED);
}

void capture_forget(struct controller *c, struct space *s)
{
	if (s->listed)
		pool_put(&c->listed_pool, s->listed);
	s->listed = NULL;
}

/* ---- all of it --------------------------------------------------------------------------- */

/* The headers. What does not begin as one is left to the library: it lies elsewhere. */
static bool read_pieces(struct capture *capture)
{
	long got = capture->pieces ? sys(process_vm_readv, capture->near.task->tid, capture->into, capture->pieces,
					 capture->from, capture->pieces, 0)
				   : 0;

	if (got != (long)capture->wanted)
		return false;
	for (size_t i = 0; i < capture->pieces; i++)
		if (capture->into[i].iov_len == CAPTURE_HEADER && memcmp(capture->into[i].iov_base, ELFMAG, SELFMAG))
			return false;
	return true;
}

/* More spaces than this that load are asked about each time. */
static void remember(struct controller *c, struct space *s, const struct listed *now)
{
	if (!c->listed_pool.size)
		c->listed_pool = (struct pool){ .size = sizeof(struct listed), .limit = LISTED_SPACES };
	if (!s->listed)
		s->listed = pool_get(&c->listed_pool);
	if (s->listed)
		*s->listed = *now;
}

size_t capture_list(struct controller *c, struct task *t, const struct site *site)
{
	static const struct listed nothing;
	struct space *s = t->process->space;
	struct capture capture = {
		.near = { .task = t, .bytes = c->scratch + NEAR_AT },
		.at = c->scratch,
		.end = c->scratch + NEAR_AT,
		.before = s->listed ? s->listed : &nothing,
	};
	bool whole = site->guard && copy_lists(&capture, site->guard - offsetof(struct r_debug, r_state));

	whole = whole && capture.found <= CAPTURE_NEW && read_pieces(&capture);
	/* Who is asked reads all that is listed, so it is known from then on. */
	remember(c, s, &capture.now);
	return whole ? (size_t)(capture.at - c->scratch) : 0;
}
