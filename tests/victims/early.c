/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * early exit|signal|hang|exec: ends (or stays) in a constructor, so that main is never reached
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void before_main(int argc, char **argv)
{
	if (argc != 2)
		return;
	if (strcmp(argv[1], "exit") == 0)
		_exit(3);
	if (strcmp(argv[1], "signal") == 0)
		raise(SIGUSR1);
	if (strcmp(argv[1], "exec") == 0)
		execl("/bin/true", "true", (char *)NULL);
	if (strcmp(argv[1], "hang") == 0)
		pause();
}

int main(void)
{
	return 0;
}
