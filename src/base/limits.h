/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/limits.h - every bound on data that a victim, a file or a peer controls has its name here
 *
 * A victim can lie: its link map may be a ring, its names may have no end, its tables may point nowhere. Each
 * loop over such data stops at one of these and says that it did.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
	MAX_LINK_MAPS = 65536,         /* entries of one namespace */
	MAX_NAMESPACES = 64,           /* glibc's own limit is 16 */
	MAX_OBJECT_NAME = 4096,        /* bytes of a path in a link map */
	MAX_NAME_BYTES = 16 << 20,     /* all names of the link maps that one scan adds */
	MAX_BUILD_ID = 64,             /* bytes; usual are 20 and 16 */
	MAX_ELF_PHDRS = 1024,
	MAX_ELF_SECTIONS = 65536,
	MAX_NOTE_BYTES = 65536,
	MAX_DYNAMIC_ENTRIES = 1024,
	MAX_DYNAMIC_SYMBOLS = 4194304,
	MAX_SYMBOLS = 16 << 20,        /* of one file, all its tables together */
	MAX_SECTION_BYTES = 1 << 30,   /* one section of a file, read or unpacked */
	MAX_SECTION_NAMES = 4 << 20,   /* bytes of the table of section names */
	MAX_UNPACKED_BYTES = 256 << 20, /* .gnu_debugdata, unpacked */
	MAX_XZ_MEMORY = 128 << 20,     /* that unpacking may take, zstd's window too; xz -9 needs 65 MiB */
	MAX_UNPACKED_RATIO = 1032,     /* a section, unpacked by zlib or zstd, to its packed bytes: no deflate stream yields more */
	MAX_PLT_ENTRIES = 1 << 20,
	MAX_PLT_NAMES = 64 << 20,      /* bytes of all names of PLT entries of one file */
	MAX_DEBUG_FILE = 0x7fffffff,   /* bytes of a debug file whose checksum is computed */
	MAX_FETCH_SECONDS = 60,        /* for one debug file from a server */
	MAX_JIT_BYTES = 256 << 20,     /* of a perf map */
	MAX_JIT_SYMBOLS = 4 << 20,
	MAX_JIT_LINE = 16384,          /* a longer line is passed over */
	MAX_MANGLED = 16384,           /* bytes of a name that is demangled */
	MAX_DEMANGLED = 65536,
	MAX_ARGS_BYTES = 8 << 20,      /* argv or environment read for one exec record */
	MAX_PROC_FILE = 16 << 20,      /* any one file of /proc read whole */
	MAX_THREADS = 1 << 20,         /* tasks of one family */
	MAX_SITES = 1 << 20,           /* sites of one address space */
	MAX_SITE_COUNTERS = 8,         /* breakpoints that share one address */
	MAX_COUNTERS = 1 << 22,        /* of breakpoints of one family: one for each function, 67 where calls are timed */
	MAX_FRAMES = 1 << 14,          /* calls of one thread whose returns are awaited */
	MAX_ALL_FRAMES = 1 << 20,      /* of a family */
	MAX_REFUSED_CALLERS = 4096,    /* addresses of one space that nothing returns to as far as can be told */
	MAX_CALLER_CHECK = 16 << 10,   /* bytes of a function that are gone through up to where a call comes back to */
	MAX_CALL_STACK = 16 << 10,     /* bytes of a stack that go with the record of a call */
	MAX_QUEUED_STACKS = 256 << 20, /* bytes of stacks of calls that are not dispatched yet */
	RING_BYTES = 16 << 20,         /* records of calls of one family that are not taken yet */
	MAX_PLACES = 1 << 18,          /* addresses of one breakpoint in one address space */
	MAX_PLACE_OFFSET = 1 << 20,    /* from a function's beginning to a breakpoint in it */
	MAX_PLACE_EXCEPT = 1024,       /* patterns of what a breakpoint leaves out */
	MAX_PLACE_TEXT = 4096,         /* bytes of "OBJECT:FUNCTION+OFFSET" */
	MAX_EVENT_STACK = 1 << 16,     /* bytes of a stack that are copied for an event */
	MAX_EVENT_FRAMES = 256,        /* frames of it */
	MAX_KEPT_BYTES = 1 << 20,      /* events of a family kept while handles of it are locked */
	MAX_FRAME_SEARCH = 256 << 10,  /* bytes of stacks looked through for the frames of signal handlers, at one stop */
	MAX_SNAPSHOT_BYTES = 512 << 20, /* all stacks of one snapshot */
	MAX_SNAPSHOT_TIDS = 8192,      /* threads that are named one by one for it */
	MAX_MAPPINGS = 1 << 18,        /* executable ones of one process */
	MAX_CFI_OPERATIONS = 256,      /* of one DWARF expression of a rule */
	MAX_CFI_BYTES = 256 << 20,     /* .debug_frame of one file, decompressed */
	MAX_IMAGE_BYTES = 256 << 20,   /* an object that only memory has */
	MAX_PAST_IMAGES = 16,          /* programs that a process ran before and whose addresses are still named */
	MAX_DEBUG_UNITS = 1 << 20,     /* compilation units looked through for an address */
	MAX_INLINED = 255,             /* functions inlined into each other at one address */
	MAX_CREATE_PAYLOAD = 64 << 20, /* strings of one create */
};

#endif
