/* SPDX-License-Identifier: BSD-2-Clause */
#include "names.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct answer name_of(struct tether *process, uint64_t address, const struct tether_symbol_opts *opts)
{
	struct answer answer = { .symbol = { .size = sizeof(answer.symbol) } };
	static char text[8][1024];
	static unsigned turn;
	char *room = text[turn++ % 8];

	answer.result = tether_symbol_at(process, address, opts, &answer.symbol, room, sizeof(text[0]));
	return answer;
}

struct answer address_of(struct tether *process, const char *name, const struct tether_symbol_opts *opts)
{
	struct answer answer = { .symbol = { .size = sizeof(answer.symbol) } };
	static char text[8][1024];
	static unsigned turn;
	char *room = text[turn++ % 8];

	answer.result = tether_symbol_find(process, name, opts, &answer.symbol, room, sizeof(text[0]));
	return answer;
}

void check_name(struct tether *process, uint64_t address, const char *name, uint64_t offset)
{
	struct answer answer = name_of(process, address, NULL);

	check_int(answer.result, 0);
	check_same(name, answer.symbol.name);
	check_int(answer.symbol.offset, offset);
	check_int(answer.symbol.address + offset, address);
}

uint64_t read_address(struct victim *victim, const char *what)
{
	const char *line = victim_line(victim);
	char name[128];
	unsigned long long address;

	if (sscanf(line, "address %127s 0x%llx", name, &address) != 2 || strcmp(name, what) != 0)
		fail("'%s', expected the address of %s", line, what);
	return address;
}

uint64_t ask_address(struct victim *victim, const char *word, const char *what)
{
	victim_say(victim, word);
	uint64_t address = read_address(victim, what);
	check_same("done", victim_line(victim));
	return address;
}

struct tether *observe(struct client *client, pid_t pid)
{
	return grab(client->session, pid, TETHER_OBSERVE, 0);
}

void copy_over(const char *name, const char *path)
{
	char command[1024];

	/* Beside, then renamed: what is mapped stays what it is. */
	snprintf(command, sizeof(command), "cp '%s' '%s.new' && chmod 755 '%s.new' && mv '%s.new' '%s'", victim_path(name), path,
		 path, path, path);
	check_int(system(command), 0);
}

const char *copy_of(const char *name, const char *as)
{
	static char paths[4][256];
	static unsigned turn;
	char folder[] = "/tmp/tether-names-XXXXXX";
	char *path = paths[turn++ % 4];

	check(mkdtemp(folder) != NULL);
	chmod(folder, 0755);
	snprintf(path, sizeof(paths[0]), "%s/%s", folder, as);
	copy_over(name, path);
	return path;
}

void remove_copy(const char *path)
{
	char folder[256];

	unlink(path);
	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	rmdir(folder);
}
