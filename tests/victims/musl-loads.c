/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linked with musl: at each word it opens plugin-musl.so, whose constructor writes "constructed", and closes it,
 * which unloads nothing there. A second time nothing new is loaded. Each word ends with "done".
 */
#include "victim.h"

#include <dlfcn.h>

int main(void)
{
	char *path = beside("plugin-musl.so");

	say("ready");
	while (*hear()) {
		void *handle = dlopen(path, RTLD_NOW);

		if (!handle || dlclose(handle))
			say("wrong: %s", dlerror());
		say("done");
	}
	return 0;
}
