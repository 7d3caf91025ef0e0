/* SPDX-License-Identifier: BSD-2-Clause */
#include "process/name.h"

int process_name(struct tether *process, uint64_t image, uint64_t address, uint32_t flags, struct tether_symbol *ret,
		 char *buffer, size_t length)
{
	(void)process, (void)image, (void)address, (void)flags, (void)ret, (void)buffer, (void)length;
	return -TETHER_ENOTFOUND;
}

int tether_symbol_at(struct tether *process, uint64_t address, const struct tether_symbol_opts *opts,
		     struct tether_symbol *ret, char *buffer, size_t length)
{
	(void)opts;
	return process_name(process, IMAGE_ANY, address, 0, ret, buffer, length);
}

int tether_symbol_find(struct tether *process, const char *name, const struct tether_symbol_opts *opts,
		       struct tether_symbol *ret, char *buffer, size_t length)
{
	(void)process, (void)name, (void)opts, (void)ret, (void)buffer, (void)length;
	return -TETHER_ENOTFOUND;
}

int tether_symbols(struct tether *process, const char *name, const struct tether_symbol_opts *opts,
		   tether_symbol_fn *visit, void *data)
{
	(void)process, (void)name, (void)opts, (void)visit, (void)data;
	return -TETHER_ENOTFOUND;
}

int tether_source_at(struct tether *process, uint64_t address, const struct tether_symbol_opts *opts,
		     tether_source_fn *visit, void *data)
{
	(void)process, (void)address, (void)opts, (void)visit, (void)data;
	return 0;
}
