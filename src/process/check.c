/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/check.c - is the victim still as a view shows it?
 *
 *	looked at within 10 us ──────────────► yes
 *	an object that stays, and the token seen within 10 ms: one small system call
 *	  the list of robust futexes is where it was ──► yes
 *	else one vectored read of its memory
 *	  token, build-id and link map are what they were ──► yes, and where the list is is noted again
 *
 * An exec that goes unnoticed by the list must put it at the same of 2^28 places, and is noticed by the token 10 ms later. Of an
 * image that is not placed at random, or whose C library keeps no such list, the memory is read each time.
 */
#include <link.h>
#include <string.h>

#include "os/memory.h"
#include "os/sys.h"
#include "process/handle.h"

/*
 * To unload an object takes several calls of the kernel, and to tell of it one more: whoever has been told is later than
 * this. A stack of a hundred frames is checked once an object, not once a frame.
 */
enum { SEEN_NS = 10000, TOKEN_NS = 10000000 };

/* By one system call. */
static bool still_there(const struct looking *looking, const struct view_object *object)
{
	const struct token *known = &looking->token;
	enum { WORDS = 3 };
	uint64_t words[WORDS];
	struct elf_build_id build_id;
	struct token token;
	struct reader_piece pieces[] = {
		{ known->at, token.bytes, sizeof(token.bytes) },
		{ view_witness(object), build_id.bytes, object->build_id.size },
		{ object->link_map, words, sizeof(words) },
	};
	size_t count = object->link_map != 0 ? ARRAY_LEN(pieces) : ARRAY_LEN(pieces) - 1;

	if (looking->memory.read_many(looking->memory.data, pieces, count) != (ssize_t)count)
		return false;
	return memcmp(token.bytes, known->bytes, sizeof(token.bytes)) == 0 &&
	       memcmp(build_id.bytes, object->build_id.bytes, object->build_id.size) == 0 &&
	       (object->link_map == 0 ||
		(words[0] == object->bias && words[1] == object->name && words[2] == object->dynamic));
}

/* ---- the list of robust futexes --------------------------------------------------------------- */

struct mark check_mark_of(const struct rtld *rtld, int64_t tid)
{
	struct mark mark = { .linker = 0 };

	if (rtld->flavour == RTLD_GLIBC && !rtld->linker_is_program && os_draws_places(tid))
		mark.linker = rtld->linker.low;
	return mark;
}

static bool is_marked(const struct mark *mark, uint64_t now)
{
	vaddr_t list;

	return mark->tid != 0 && now - mark->checked_ns < TOKEN_NS && os_robust_list(mark->tid, &list) == 0 &&
	       list == mark->list;
}

/* Before the token is looked at: if that is the old one, so was the image when its list was asked for. */
static struct mark look_for_mark(const struct looking *looking, const struct view_object *object, uint64_t now)
{
	/* The heap is elsewhere, and drawn from fewer places. */
	enum { NEAR_BITS = 32 };
	struct mark mark = looking->mark;
	vaddr_t list;

	mark.tid = 0;
	if (object->stays && mark.linker != 0 && os_robust_list(looking->access.tid, &list) == 0 && list != 0 &&
	    (list - mark.linker) + (UINT64_C(1) << NEAR_BITS) < UINT64_C(2) << NEAR_BITS) {
		mark.tid = looking->access.tid;
		mark.list = list;
		mark.checked_ns = now;
	}
	return mark;
}

static void note_mark(const struct looking *looking, const struct mark *mark)
{
	struct names *names = &looking->process->names;

	if (mark->tid == 0)
		return;
	pthread_mutex_lock(&looking->process->table->lock);
	if (memcmp(&names->token, &looking->token, sizeof(names->token)) == 0)
		names->mark = *mark;
	pthread_mutex_unlock(&looking->process->table->lock);
}

/* ---- all of it -------------------------------------------------------------------------------- */

bool names_check(const struct looking *looking, const struct view_object *object)
{
	uint64_t now = os_now_ns();
	struct mark mark;

	if (looking->token.at == 0 || view_witness(object) == 0)
		return false;
	if (now - view_seen(object) < SEEN_NS)
		return true;
	if (!object->stays || !is_marked(&looking->mark, now)) {
		mark = look_for_mark(looking, object, now);
		if (!still_there(looking, object))
			return false;
		note_mark(looking, &mark);
	}
	/* The moment before it was looked at. */
	view_note_seen(object, now);
	return true;
}
