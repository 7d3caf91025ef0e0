/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/called.c - a victim that does nothing but call one function, in so many threads
 *
 *	bench-called CALLS THREADS
 *
 * CALLS of each thread; prints {"call_ns": time of all, by the number of all calls}.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "measure.h"

/* Its first instruction is the most common one, and what it comes back to is a plain move. */
long bench_leaf(long n), bench_calls(long calls);
__asm__(".text\n"
	".globl bench_leaf\n"
	".type bench_leaf, @function\n"
	"bench_leaf:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	lea 1(%rdi), %rax\n"
	"	pop %rbp\n"
	"	ret\n"
	".size bench_leaf, .-bench_leaf\n"
	".globl bench_calls\n"
	".type bench_calls, @function\n"
	"bench_calls:\n"
	"	push %rbx\n"
	"	mov %rdi, %rbx\n"
	"	xor %eax, %eax\n"
	"1:	mov %rax, %rdi\n"
	"	call bench_leaf\n"
	"	mov %rax, %rdx\n"
	"	dec %rbx\n"
	"	jnz 1b\n"
	"	mov %rdx, %rax\n"
	"	pop %rbx\n"
	"	ret\n"
	".size bench_calls, .-bench_calls\n");

struct work {
	pthread_barrier_t barrier;
	long calls;
};

static void *call(void *data)
{
	struct work *work = data;

	pthread_barrier_wait(&work->barrier);
	return bench_calls(work->calls) == work->calls ? data : NULL;
}

int main(int argc, char **argv)
{
	enum { THREADS_MAX = 64 };
	long calls = argc > 2 ? atol(argv[1]) : 0, threads = argc > 2 ? atol(argv[2]) : 0;
	struct work work = { .calls = calls };
	pthread_t thread[THREADS_MAX];
	bool right = true;

	if (calls < 1 || threads < 1 || threads > THREADS_MAX ||
	    pthread_barrier_init(&work.barrier, NULL, (unsigned)threads + 1))
		return 2;
	for (long i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, call, &work))
			return 1;
	uint64_t start = now_ns();
	pthread_barrier_wait(&work.barrier);
	for (long i = 0; i < threads; i++) {
		void *back;

		pthread_join(thread[i], &back);
		right = right && back;
	}
	printf("{\"call_ns\": %lu}\n", (now_ns() - start) / (uint64_t)(calls * threads));
	return right ? 0 : 1;
}
