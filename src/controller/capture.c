/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/capture.c - copy what the linker has listed, so that its process need not wait while it is read
 *
 *	r_debug ──► link map ──► link map ──► …     one after the other: each names the next
 *	               └── name, first bytes of the object     all by one call
 *
 * Only bytes are copied, nothing is concluded from them: the library reads the copy as it would read the
 * memory. What is more than this copies, or is not as <link.h> says, is left to it, with a question.
 */
#include "controller/controller.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/linkmap.h"
#include "controller/site.h"
#include "os/memory.h"
#include "os/sys.h"

enum {
	CAPTURE_MAPS = 16,
	CAPTURE_NAME = 256,
	CAPTURE_HEADER = 2048,
	CAPTURE_DYNAMIC = 1024,
	PIECES = 2 * CAPTURE_MAPS + 1,
};

enum {
	CAPTURE_MAX = (CAPTURE_MAPS * 3 + 2) * sizeof(struct proto_window) +
		      CAPTURE_MAPS * (sizeof(struct link_map_words) + CAPTURE_NAME + CAPTURE_HEADER) +
		      sizeof(struct r_debug_words) + CAPTURE_DYNAMIC,
};
static_assert(sizeof(struct proto_ev_hit) + sizeof(struct proto_header) + CAPTURE_MAX <= PROTO_MESSAGE_MAX,
	      "a capture does not fit into a message");

struct capture {
	unsigned char *at; /* where the next window goes */
	struct iovec into[PIECES], from[PIECES];
	size_t pieces, wanted;
};

/* Room for a copy of these bytes; filled by the caller. Windows stay aligned. */
static void *window(struct capture *capture, vaddr_t address, size_t length)
{
	struct proto_window head = { .address = address, .length = (uint32_t)length };
	unsigned char *bytes = capture->at + sizeof(head);

	memcpy(capture->at, &head, sizeof(head));
	capture->at = bytes + length;
	return bytes;
}

static void piece(struct capture *capture, vaddr_t address, size_t length)
{
	capture->into[capture->pieces] = (struct iovec){ window(capture, address, length), length };
	capture->from[capture->pieces++] = (struct iovec){ (void *)(uintptr_t)address, length };
	capture->wanted += length;
}

/* A name may end where its mapping does; lengths are whole words, so that windows stay aligned. */
static size_t name_length(vaddr_t name)
{
	size_t left = (PROTO_KEY_PAGE - name % PROTO_KEY_PAGE) & ~(size_t)7;

	return left < CAPTURE_NAME ? left : CAPTURE_NAME;
}

/* The linker allocates link maps one after the other: of those on one page, one read. */
struct near {
	unsigned char *bytes;
	vaddr_t page; /* 0: none */
};

static bool read_map(struct task *t, struct near *near, vaddr_t at, struct link_map_words *words)
{
	vaddr_t page = at & ~(vaddr_t)(PROTO_KEY_PAGE - 1);

	if (at - page + sizeof(*words) > PROTO_KEY_PAGE)
		return !task_read(t, at, words, sizeof(*words));
	if (page != near->page && task_read(t, page, near->bytes, PROTO_KEY_PAGE))
		return false;
	near->page = page;
	memcpy(words, near->bytes + (at - page), sizeof(*words));
	return true;
}

static bool walk(struct task *t, struct capture *capture, struct near *near, vaddr_t first)
{
	struct link_map_words words;
	vaddr_t at = first;

	for (int maps = 0; at; maps++, at = words.next) {
		if (maps == CAPTURE_MAPS || !read_map(t, near, at, &words))
			return false;
		memcpy(window(capture, at, sizeof(words)), &words, sizeof(words));
		if (words.name && name_length(words.name))
			piece(capture, words.name, name_length(words.name));
		/* of a program that is not position independent it is 0, and that one is known */
		if (words.addr && words.addr % PROTO_KEY_PAGE == 0)
			piece(capture, words.addr, CAPTURE_HEADER);
		if (maps == 0)
			piece(capture, words.ld, CAPTURE_DYNAMIC);
	}
	return true;
}

/* As many bytes as most programs' lists take; and the last page of the scratch memory, which no list reaches. */
enum { WARM_SIZE = 20 << 10, NEAR_AT = PROTO_MESSAGE_MAX - PROTO_KEY_PAGE };
static_assert((int)WARM_SIZE <= (int)NEAR_AT && CAPTURE_MAX <= (int)NEAR_AT, "the scratch memory is not that large");

void capture_warm(struct controller *c)
{
	volatile unsigned char *page = c->scratch;

	for (size_t at = 0; at < WARM_SIZE; at += PROTO_KEY_PAGE)
		page[at] = 0;
	page[NEAR_AT] = page[NEAR_AT + PROTO_KEY_PAGE - 1] = 0; /* it lies on two pages */
}

void capture_cool(struct controller *c)
{
	uintptr_t first = ((uintptr_t)c->scratch + PROTO_KEY_PAGE - 1) & ~(uintptr_t)(PROTO_KEY_PAGE - 1);
	uintptr_t end = ((uintptr_t)c->scratch + PROTO_MESSAGE_MAX) & ~(uintptr_t)(PROTO_KEY_PAGE - 1);

	sys(madvise, first, end - first, MADV_DONTNEED);
}

size_t capture_list(struct controller *c, struct task *t, const struct site *site)
{
	struct capture capture = { .at = c->scratch };
	struct near near = { .bytes = c->scratch + NEAR_AT };
	vaddr_t root = site->guard - offsetof(struct r_debug, r_state);
	struct r_debug_words words;
	long got;

	if (!site->guard || task_read(t, root, &words, sizeof(words)) ||
	    words.base.r_version < 1 || (words.base.r_version > 1 && words.next))
		return 0;
	memcpy(window(&capture, root, sizeof(words)), &words, sizeof(words));
	if (!walk(t, &capture, &near, (vaddr_t)(uintptr_t)words.base.r_map))
		return 0;
	got = sys(process_vm_readv, t->tid, capture.into, capture.pieces, capture.from, capture.pieces, 0);
	return got == (long)capture.wanted ? (size_t)(capture.at - c->scratch) : 0;
}
