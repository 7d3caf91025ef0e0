/* SPDX-License-Identifier: BSD-2-Clause */
/* harm/plugin.c - what the dl victim loads and unloads; PLUGIN tells the two apart */
__attribute__((visibility("default"))) long plugin_answer(long n);

long plugin_answer(long n)
{
	return 3 * n + PLUGIN;
}
