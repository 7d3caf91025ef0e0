/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/registers.c - <tether/registers.h>
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/registers.h"
#include "process/stand.h"

static bool is_known(uint32_t set)
{
	return set == TETHER_REGISTERS_GENERAL || set == TETHER_REGISTERS_FLOAT || set == TETHER_REGISTERS_VECTOR;
}

/* A set into memory of its own: it is too long for the stack of some thread. */
static int get(struct tether *process, int64_t tid, uint32_t set, struct proto_regset **ret)
{
	struct proto_regset *regset;
	int result;

	if (!is_known(set))
		return -TETHER_EINVALID;
	if (tid <= 0 || tid > INT32_MAX)
		return -TETHER_ESTATE;
	regset = calloc(1, sizeof(*regset));
	if (!regset)
		return -ENOMEM;
	result = stand_get(process, tid, set, regset);
	/* A controller is believed nothing that would be read beyond. */
	if (result == 0 && regset->size > sizeof(regset->bytes))
		result = -TETHER_EPROTOCOL;
	if (result == 0)
		*ret = regset;
	else
		free(regset);
	return result;
}

int64_t tether_registers_get(struct tether *process, int64_t tid, uint32_t set, void *buffer, size_t size,
			     uint32_t *machine)
{
	struct proto_regset *regset;
	int64_t result = get(process, tid, set, &regset);

	static_assert((int)TETHER_REGISTERS_MAX == (int)PROTO_REGSET_MAX, "the longest set");
	static_assert((int)TETHER_MACHINE_X86_64 == (int)ARCH_X86_64 && (int)TETHER_MACHINE_I386 == (int)ARCH_I386, "tags");
	if (result < 0)
		return result;
	if (size)
		memcpy(buffer, regset->bytes, regset->size < size ? regset->size : size);
	if (machine)
		*machine = regset->tag;
	result = regset->size;
	free(regset);
	return result;
}

int tether_registers_set(struct tether *process, int64_t tid, uint32_t set, const void *bytes, size_t length)
{
	if (!is_known(set) || !length || length > PROTO_REGSET_MAX)
		return -TETHER_EINVALID;
	return tid <= 0 || tid > INT32_MAX ? -TETHER_ESTATE : stand_set(process, tid, set, bytes, length);
}

/* The set that a register is in, and where in it. The machine is told by any set: the general one comes first. */
static int look_up(struct tether *process, int64_t tid, const char *name, struct proto_regset **ret_set,
		   struct arch_register *ret)
{
	int result = get(process, tid, TETHER_REGISTERS_GENERAL, ret_set);

	if (result < 0)
		return result;
	if (!arch_register_find((*ret_set)->tag, name, ret)) {
		free(*ret_set);
		return -TETHER_ENOTFOUND;
	}
	if (ret->set == TETHER_REGISTERS_GENERAL)
		return 0;
	free(*ret_set);
	return get(process, tid, ret->set, ret_set);
}

int tether_register_get(struct tether *process, int64_t tid, const char *name, void *value, size_t size)
{
	struct arch_register where;
	struct proto_regset *set;
	uint8_t bytes[ARCH_REGISTER_MAX] = { 0 };
	int result = look_up(process, tid, name, &set, &where);

	if (result < 0)
		return result;
	if (where.size > size)
		result = -TETHER_EINVALID;
	else if (!arch_register_read(&where, set->bytes, set->size, bytes))
		result = -TETHER_ENOTFOUND;
	else
		result = (int)where.size;
	free(set);
	if (result < 0)
		return result;
	memset(value, 0, size);
	memcpy(value, bytes, where.size);
	return result;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

int tether_register_set(struct tether *process, int64_t tid, const char *name, const void *value, size_t size)
{
	struct arch_register where;
	struct proto_regset *set;
	int result = look_up(process, tid, name, &set, &where);

	if (result < 0)
		return result;
	if (where.size > size || !is_zero((const uint8_t *)value + where.size, size - where.size))
		result = -TETHER_EINVALID;
	else if (!arch_register_write(&where, set->bytes, set->size, value))
		result = -TETHER_ENOTFOUND;
	else
		result = tether_registers_set(process, tid, where.set, set->bytes, set->size);
	free(set);
	return result;
}

const char *tether_register_name(uint32_t machine, uint32_t number)
{
	return arch_register_name(machine, number);
}
