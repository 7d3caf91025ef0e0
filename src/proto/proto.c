/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/proto.h"

#include <errno.h>
#include <string.h>

/* What a message of one type consists of. */
struct shape {
	uint32_t type;
	uint32_t body, item;
	uint32_t when;
	const char *name;
};

static const struct shape shapes[] = {
#define X(number, name, body, item, answer, when)          \
	{ (number), sizeof(body), (item), (when), #name }, \
		{ (number) + 1, sizeof(answer), 0, 0, #name " answer" },
	PROTO_REQUESTS(X)
#undef X
#define X(number, name, body, item, want, keep, now) { (number), sizeof(body), (item), 0, #name },
		PROTO_EVENTS(X)
#undef X
};

static const struct shape *shape_of(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (shapes[i].type == type)
			return &shapes[i];
	return NULL;
}

/* The bodies with items all tell their number in a member of this name. */
static uint32_t items_of(uint32_t type, const void *body)
{
	switch (type) {
	case PROTO_REQ_plant: {
		struct proto_plant plant;

		memcpy(&plant, body, sizeof(plant));
		return plant.items;
	}
	case PROTO_REQ_lift: {
		struct proto_lift lift;

		memcpy(&lift, body, sizeof(lift));
		return lift.items;
	}
	case PROTO_REQ_answer: {
		struct proto_answer answer;

		memcpy(&answer, body, sizeof(answer));
		return answer.items;
	}
	case PROTO_REQ_grab: {
		struct proto_grab grab;

		memcpy(&grab, body, sizeof(grab));
		return grab.items;
	}
	case PROTO_REQ_image: {
		struct proto_image image;

		memcpy(&image, body, sizeof(image));
		return image.items;
	}
	case PROTO_REQ_snapshot: {
		struct proto_snapshot snapshot;

		memcpy(&snapshot, body, sizeof(snapshot));
		return snapshot.items;
	}
	case PROTO_REQ_set_regset: {
		struct proto_set_regset set;

		memcpy(&set, body, sizeof(set));
		return set.items;
	}
	case PROTO_REQ_write: {
		struct proto_write write;

		memcpy(&write, body, sizeof(write));
		return write.items;
	}
	case PROTO_EV_exec: {
		struct proto_ev_exec exec;

		memcpy(&exec, body, sizeof(exec));
		return exec.items;
	}
	case PROTO_EV_hit: {
		struct proto_ev_hit hit;

		memcpy(&hit, body, sizeof(hit));
		return hit.items;
	}
	default:
		return 0;
	}
}

int proto_check(const void *message, size_t length)
{
	struct proto_header header;
	const struct shape *shape;
	uint64_t items;

	if (length < sizeof(header) || length > PROTO_MESSAGE_MAX)
		return -EPROTO;
	memcpy(&header, message, sizeof(header));
	shape = shape_of(header.type);
	if (!shape || header.size != length - sizeof(header) || header.size < shape->body)
		return -EPROTO;
	if (!shape->item)
		return header.size == shape->body ? 0 : -EPROTO;
	items = items_of(header.type, (const char *)message + sizeof(header));
	return header.size - shape->body == items * shape->item ? 0 : -EPROTO;
}

/* No cryptography: who forges an image to look like another deceives about himself only. */
static void key_add(struct proto_key *key, const void *bytes, size_t length)
{
	const unsigned char *at = bytes;
	uint64_t a = key->word[0] ^ length, b = key->word[1] + length;

	while (length) {
		uint64_t word = 0;
		size_t piece = length < sizeof(word) ? length : sizeof(word);

		memcpy(&word, at, piece);
		a = (a ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		a ^= a >> 32;
		b = (b + word) * UINT64_C(0xc2b2ae3d27d4eb4f);
		b ^= b >> 29;
		at += piece;
		length -= piece;
	}
	*key = (struct proto_key){ { a, b } };
}

struct proto_key proto_key_of(const char *name, const char *cwd, const void *program_page, const void *linker_page)
{
	struct proto_key key = { { 0 } };

	key_add(&key, name, strlen(name));
	if (*name != '/')
		key_add(&key, cwd, strlen(cwd));
	key_add(&key, program_page, PROTO_KEY_PAGE);
	if (linker_page)
		key_add(&key, linker_page, PROTO_KEY_PAGE);
	return key;
}

size_t proto_body_size(uint32_t type)
{
	const struct shape *shape = shape_of(type);

	return shape ? shape->body : 0;
}

size_t proto_item_size(uint32_t type)
{
	const struct shape *shape = shape_of(type);

	return shape ? shape->item : 0;
}

const char *proto_name(uint32_t type)
{
	const struct shape *shape = shape_of(type);

	return shape ? shape->name : "?";
}

uint32_t proto_permitted(uint32_t type)
{
	const struct shape *shape = shape_of(type);

	return shape ? shape->when : 0;
}
