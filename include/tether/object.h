/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/object.h - the load objects of a victim: executable, linker, libraries, of every namespace
 */
#ifndef TETHER_OBJECT_H
#define TETHER_OBJECT_H

#include <tether/process.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tether_object {
	size_t size;
	const char *path;       /* as the linker names it; the executable by /proc/PID/exe */
	uint64_t base;          /* load bias */
	uint64_t low, high;     /* lowest and one past the highest mapped address */
	int64_t lmid;           /* link-map namespace; 0 is the base one */
	const uint8_t *build_id;
	uint32_t build_id_size;
	uint32_t reserved;
};

/* Return 0 to go on, anything else to end the iteration with that value. */
typedef int tether_object_fn(const struct tether_object *object, void *data);

/**
 * tether_objects - visit the load objects of a victim, in link-map order, namespace by namespace
 * @process: a handle of any kind   @visit: called once an object, on the calling thread; the object and its
 *           strings are the library's and live until it returns
 * @data: handed to @visit; the caller's
 * Return: what the callback returned last, or 0; -TETHER_EGONE, -TETHER_EPRIV, -TETHER_EFORKED, -TETHER_ECLOSED,
 *         -TETHER_EMACHINE (a 32-bit program), -ENOMEM; -EOVERFLOW: an observed victim's lists go beyond the bounds,
 *         nothing was visited
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: dl_iterate_phdr(3), dlmopen(3) on namespaces, ld.so(8)
 *
 * A control handle answers from what its linker was seen to do; an observe handle reads the link maps afresh at
 * each call. Lists of a victim that lies are read up to bounds, and the log callback is told.
 */
TETHER_API int tether_objects(struct tether *process, tether_object_fn *visit, void *data);

#ifdef __cplusplus
}
#endif
#endif
