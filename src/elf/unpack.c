/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/unpack.c - compressed sections, which may be bombs: a few bytes that unpack to gigabytes
 */
#include "elf/tables.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* No deflate stream yields more (RFC 1951: 258 bytes for two bits, and the header). */
enum { ZLIB_RATIO = 1032 };

/* Under the fuzzer small ones are as good as large ones, and it gets through more of them. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
static const size_t most_unpacked = 1 << 20;
#else
static const size_t most_unpacked = MAX_UNPACKED_BYTES;
#endif

int elf_unpack_zlib(const void *packed, size_t packed_size, uint64_t size, struct elf_blob *ret)
{
	z_stream stream = { 0 };
	struct elf_blob blob = { .size = (size_t)size };
	union {
		const void *from;
		Bytef *to;
	} input = { .from = packed }; /* zlib does not write there */
	int result;

	if (size > MAX_SECTION_BYTES || packed_size > MAX_SECTION_BYTES)
		return -EFBIG;
	if (!size || size / ZLIB_RATIO > packed_size)
		return -ENOEXEC;
	blob.data = malloc(blob.size + 1);
	if (!blob.data || inflateInit(&stream) != Z_OK) {
		free(blob.data);
		return -ENOMEM;
	}
	stream.next_in = input.to;
	stream.avail_in = (uInt)packed_size;
	stream.next_out = blob.data;
	stream.avail_out = (uInt)blob.size;
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	if (result != Z_STREAM_END || stream.avail_out) {
		free(blob.data);
		return result == Z_MEM_ERROR ? -ENOMEM : -ENOEXEC;
	}
	blob.data[blob.size] = 0;
	*ret = blob;
	return 0;
}

/* Room for more output: 0, -EFBIG or -ENOMEM. */
static int grow(struct elf_blob *blob, lzma_stream *stream)
{
	size_t done = blob->size;
	size_t size = done ? done * 2 : 1 << 16;
	unsigned char *data;

	if (done == most_unpacked)
		return -EFBIG;
	if (size > most_unpacked)
		size = most_unpacked;
	data = realloc(blob->data, size + 1);
	if (!data)
		return -ENOMEM;
	blob->data = data;
	blob->size = size;
	stream->next_out = data + done;
	stream->avail_out = size - done;
	return 0;
}

static int decode(lzma_stream *stream, struct elf_blob *blob)
{
	for (;;) {
		lzma_ret result;
		int error = stream->avail_out ? 0 : grow(blob, stream);

		if (error)
			return error;
		result = lzma_code(stream, LZMA_FINISH);
		if (result == LZMA_STREAM_END)
			return 0;
		if (result == LZMA_MEM_ERROR)
			return -ENOMEM;
		if (result == LZMA_MEMLIMIT_ERROR)
			return -EFBIG;
		if (result != LZMA_OK)
			return -ENOEXEC;
	}
}

int elf_unpack_xz(const void *packed, size_t packed_size, struct elf_blob *ret)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	struct elf_blob blob = { .data = NULL };
	int error;

	if (lzma_stream_decoder(&stream, MAX_XZ_MEMORY, 0) != LZMA_OK)
		return -ENOMEM;
	stream.next_in = packed;
	stream.avail_in = packed_size;
	error = decode(&stream, &blob);
	blob.size -= stream.avail_out;
	lzma_end(&stream);
	if (error) {
		free(blob.data);
		return error;
	}
	blob.data[blob.size] = 0;
	*ret = blob;
	return 0;
}
