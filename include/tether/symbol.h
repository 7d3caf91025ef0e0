/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/symbol.h - names for a victim's addresses, addresses for names, and source lines
 *
 * What a handle has seen it keeps: a handle, also one that only waits in the cache, answers for the addresses of its
 * victim after the victim has executed another program or has ended. Each answer says of which image it tells, by
 * exec serial.
 *
 *	struct tether_symbol symbol = { .size = sizeof(symbol) };
 *	char text[512];
 *
 *	if (tether_symbol_at(victim, address, NULL, &symbol, text, sizeof(text)) == 0)
 *		printf("%s`%s+0x%llx\n", symbol.object, symbol.demangled, (unsigned long long)symbol.offset);
 *
 * Tables are made per file, at the first question that needs them, and shared by all handles of a session. Nothing is
 * stopped and nothing is written; no debug server is asked without TETHER_SYMBOL_FETCH.
 */
#ifndef TETHER_SYMBOL_H
#define TETHER_SYMBOL_H

#include <tether/process.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tether_symbol_opt {
	TETHER_SYMBOL_RAW = 1 << 0,        /* do not demangle: demangled is name */
	TETHER_SYMBOL_IMAGE = 1 << 1,      /* of the image whose serial is in @image, and of no other */
	TETHER_SYMBOL_EVERY_LMID = 1 << 2, /* names: in every namespace, one after the other; @lmid must be 0 */
	/*
	 * Ask debuginfod servers (DEBUGINFOD_URLS) for debug files that are missing here, by build-id, once each. The call
	 * waits for the answer, at most a minute a file (DEBUGINFOD_TIMEOUT: less); what has no answer is named as without.
	 * Where no server could be asked, the session asks none any more. Never while it holds a process: then
	 * -TETHER_ESTATE, and one that is grabbed meanwhile ends the request within a second. elfutils' client (libdebuginfod) is
	 * loaded into this process for it: see tether_fetch_check().
	 */
	TETHER_SYMBOL_FETCH = 1 << 3,
};

/**
 * struct tether_symbol_opts - of which image, and where in it
 *
 * Without TETHER_SYMBOL_IMAGE an address is looked for in the image that the victim runs, or ran last, and then in
 * those before it, the latest first; a name is looked for in the former only.
 */
struct tether_symbol_opts {
	size_t size;
	uint32_t flags;     /* enum tether_symbol_opt */
	uint32_t reserved;
	uint64_t image;     /* exec serial (tether_info, exec events); with TETHER_SYMBOL_IMAGE */
	int64_t lmid;       /* names: link-map namespace; 0 is the base one */
	/*
	 * names: the object: its path or base name, or "a.out" for the executable; NULL: all objects of the namespace
	 * in the linker's order. May be a pattern of fnmatch(3).
	 */
	const char *object;
};

/* What is known of an answer. */
enum tether_symbol_is {
	TETHER_SYMBOL_IS_PLT = 1 << 0,      /* a stub of the procedure linkage table; the name ends in "@plt" */
	TETHER_SYMBOL_IS_IFUNC = 1 << 1,    /* a resolver of the linker's, run to choose the function */
	TETHER_SYMBOL_IS_GLOBAL = 1 << 2,   /* global or weak: other objects may see it */
	TETHER_SYMBOL_IS_JIT = 1 << 3,      /* from /tmp/perf-PID.map of the victim */
	TETHER_SYMBOL_IS_PAST = 1 << 4,     /* of an image that the victim does not run any more, or it has ended */
	TETHER_SYMBOL_IS_CUT = 1 << 5,      /* the buffer was too small: strings are cut, @wanted tells */
};

/**
 * struct tether_symbol - one answer
 *
 * The caller sets @size. Strings are in the caller's buffer, NUL-ended, never NULL, and the victim's bytes: any
 * encoding. A name may be thousands of bytes long.
 */
struct tether_symbol {
	size_t size;
	const char *object;    /* path as in tether_objects(); "" for JIT code */
	const char *name;      /* as in the table; "" where no symbol covers the address */
	const char *demangled; /* C++ and Rust names for people, else as name */
	uint64_t address;      /* where the symbol begins, in the victim; without a name: the load bias of the object */
	uint64_t offset;       /* of the address asked for, from there */
	uint64_t symbol_size;  /* bytes; 0 where the table does not tell */
	uint64_t base;         /* load bias of the object */
	int64_t lmid;          /* its link-map namespace */
	uint64_t image;        /* exec serial of the image that the answer is of */
	uint32_t type;         /* STT_FUNC, STT_OBJECT, ... of elf(5) */
	uint32_t binding;      /* STB_LOCAL, STB_GLOBAL, STB_WEAK, ... of elf(5) */
	uint32_t flags;        /* enum tether_symbol_is */
	uint32_t build_id_size; /* 0: the object has none */
	uint8_t build_id[64];
	uint64_t wanted;       /* bytes of buffer that all strings need */
};

/**
 * tether_symbol_at - name an address of a victim
 * @process: a handle of any kind, its victim alive or ended   @address: in the victim
 * @opts: NULL for defaults; lmid and object are not looked at
 * @ret: the caller's; it sets size, no more than that is written; untouched on failure
 * @buffer: the caller's, for the strings; NULL with @length 0: no strings are wanted (all are "")
 * @length: bytes of @buffer; about 512 serve nearly all names
 * Return: 0, also where an object holds the address but no symbol covers it (@ret->name is ""); -TETHER_ENOTFOUND: no
 *         object holds it; -TETHER_EGONE: the victim has ended and nothing was seen of it; -TETHER_ESTATE: see
 *         TETHER_SYMBOL_FETCH; -TETHER_EPRIV, -TETHER_EMACHINE, -TETHER_EINVALID, -TETHER_EFORKED, -TETHER_ECLOSED, -ENOMEM
 * Blocks: where a file's table is not made yet, for the reading of it; with TETHER_SYMBOL_FETCH for a server
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: not touched. An answer is of the victim as it is at the call: what was loaded, unloaded or executed before is
 *         taken into account, with handles of any kind.
 * See: elf(5), nm(1), dladdr(3), proc_pid_maps(5)
 *
 * Of several symbols at one place a function goes before an object, global before weak before local, then the name with
 * fewer leading underscores, then the shorter. A symbol with a size covers its bytes only; one without covers what
 * follows, up to the next symbol or the end of its section.
 */
TETHER_API int tether_symbol_at(struct tether *process, uint64_t address, const struct tether_symbol_opts *opts,
				struct tether_symbol *ret, char *buffer, size_t length);

/**
 * tether_symbol_find - the address of a name
 * @process: a handle of any kind, its victim alive or ended   @name: as in the table: not demangled
 * @opts: NULL for defaults: every object of the base namespace
 * @ret: as of tether_symbol_at(); offset is 0   @buffer: as there   @length: as there
 * Return: 0, -TETHER_ENOTFOUND, and as tether_symbol_at()
 * Blocks: as tether_symbol_at()
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: as tether_symbol_at()
 * See: dlsym(3), elf(5), ld.so(8)
 *
 * First as the linker would search: the first object, in the order of the link maps, that exports the name. Where none
 * does, the first that has it at all. Stubs of the procedure linkage table have names too: "malloc@plt".
 */
TETHER_API int tether_symbol_find(struct tether *process, const char *name, const struct tether_symbol_opts *opts,
				  struct tether_symbol *ret, char *buffer, size_t length);

/* Return 0 to go on, anything else to end the iteration with that value. */
typedef int tether_symbol_fn(const struct tether_symbol *symbol, void *data);

/**
 * tether_symbols - visit every symbol of a victim that matches
 * @process: a handle of any kind, its victim alive or ended
 * @name: a name, or a pattern of fnmatch(3), as in the table; NULL: all
 * @opts: NULL for defaults: every object of the base namespace
 * @visit: called once a symbol, on the calling thread; the symbol and its strings are the library's and live until it
 *         returns. It may call any function but tether_session_close() of its session.
 * @data: handed to @visit; the caller's
 * Return: what the callback returned last, or 0, also where nothing matches; -TETHER_ENOTFOUND: no object matches; and
 *         as tether_symbol_at()
 * Blocks: as tether_symbol_at(); a table that cannot be read is passed over
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: as tether_symbol_at()
 * See: nm(1), elf(5), fnmatch(3)
 *
 * Object by object in the order of the link maps, and in each by address. demangled is name.
 */
TETHER_API int tether_symbols(struct tether *process, const char *name, const struct tether_symbol_opts *opts,
			      tether_symbol_fn *visit, void *data);

/**
 * struct tether_source - one function at an address; lives until the callback returns
 */
struct tether_source {
	size_t size;
	const char *file;     /* with directory where it is known; "": not known */
	const char *function; /* as the debug information links it (mangled) or names it; "": not known */
	const char *demangled; /* for people, else as function */
	uint32_t line;        /* 0: not known */
	uint32_t column;      /* 0: not known */
	bool inlined;         /* into the next one */
};

/* Return 0 to go on, anything else to end the iteration with that value. */
typedef int tether_source_fn(const struct tether_source *source, void *data);

/**
 * tether_source_at - file and line of an address, with the functions that were inlined there
 * @process: a handle of any kind, its victim alive or ended   @address: in the victim
 * @opts: as of tether_symbol_at()
 * @visit: called innermost function first; the last one is no inlined one   @data: handed to @visit; the caller's
 * Return: what the callback returned last; 0 when nothing is known (not called); and as tether_symbol_at()
 * Blocks: where a file's debug information is not read yet, for the reading of it: seconds for a large one
 * Threads: any, one after the other; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: as tether_symbol_at(); better asked after it was let go, as debug information is large
 * See: addr2line(1), elf(5)
 *
 * For the address of a return, as in a stack, ask for the byte before it.
 */
TETHER_API int tether_source_at(struct tether *process, uint64_t address, const struct tether_symbol_opts *opts,
				tether_source_fn *visit, void *data);

/**
 * tether_fetch_check - could debug files be asked for of servers?
 * @err: may be NULL; says what is missing, and what would help
 * Return: 0; -EDESTADDRREQ: the environment's DEBUGINFOD_URLS names no server; -ELIBACC: elfutils' client library
 *         libdebuginfod is not installed; -TETHER_EINVALID
 * Blocks: no; nobody is asked
 * Threads: any; in a handler: yes; in a forked child: as in any process
 * Victim: not touched
 * See: debuginfod_find_debuginfo(3), debuginfod-find(1)
 */
TETHER_API int tether_fetch_check(struct tether_error *err);

/**
 * tether_demangle - the name of a C++ or Rust symbol, for people
 * @name: as in a symbol table
 * @buffer: the caller's; NUL-ended, cut where it is too small; NULL with @length 0
 * @length: bytes of @buffer
 * Return: how many bytes the whole name needs, with its NUL; -TETHER_ENOTFOUND (it is no mangled one, is longer than 16 KiB
 *         or stands for more than 64, or there is no memory), -TETHER_EINVALID
 * Blocks: no
 * Threads: any; in a handler: yes; in a forked child: as in any process
 * Victim: not touched
 * See: c++filt(1)
 */
TETHER_API int tether_demangle(const char *name, char *buffer, size_t length);

#ifdef __cplusplus
}
#endif
#endif
