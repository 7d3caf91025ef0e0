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
#include <zstd.h>
#include <zstd_errors.h>

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
	if (!size || size / MAX_UNPACKED_RATIO > packed_size)
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

int elf_unpack_zstd(const void *packed, size_t packed_size, uint64_t size, struct elf_blob *ret)
{
	struct elf_blob blob = { .size = (size_t)size };
	size_t result;

	if (size > MAX_SECTION_BYTES || packed_size > MAX_SECTION_BYTES)
		return -EFBIG;
	/* zstd can yield 32 times as much as deflate, and no table of a file does. */
	if (!size || size / MAX_UNPACKED_RATIO > packed_size)
		return -ENOEXEC;
	blob.data = malloc(blob.size + 1);
	if (!blob.data)
		return -ENOMEM;
	result = ZSTD_decompress(blob.data, blob.size, packed, packed_size);
	if (ZSTD_isError(result) || result != blob.size) {
		free(blob.data);
		return ZSTD_isError(result) && ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? -ENOMEM :
													   -ENOEXEC;
	}
	blob.data[blob.size] = 0;
	*ret = blob;
	return 0;
}

/* ---- whole files ---------------------------------------------------------------------------------------- */

/* Room for more output: 0, -EFBIG or -ENOMEM. */
static int grow(struct elf_blob *blob)
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
	return 0;
}

static int decode_xz(lzma_stream *stream, struct elf_blob *blob)
{
	for (;;) {
		lzma_ret result;

		if (!stream->avail_out) {
			size_t done = blob->size;
			int error = grow(blob);
			if (error)
				return error;
			stream->next_out = blob->data + done;
			stream->avail_out = blob->size - done;
		}
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

static int unpack_xz(const void *packed, size_t packed_size, struct elf_blob *blob)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	int error;

	if (lzma_stream_decoder(&stream, MAX_XZ_MEMORY, 0) != LZMA_OK)
		return -ENOMEM;
	stream.next_in = packed;
	stream.avail_in = packed_size;
	error = decode_xz(&stream, blob);
	blob->size -= stream.avail_out;
	lzma_end(&stream);
	return error;
}

static int decode_zstd(ZSTD_DStream *stream, ZSTD_inBuffer *input, struct elf_blob *blob, size_t *ret_done)
{
	ZSTD_outBuffer output = { 0 };
	size_t left = 1; /* 0: a frame has ended; another may follow */

	while (input->pos < input->size || left) {
		size_t before = output.pos, taken = input->pos;
		if (output.pos == output.size) {
			int error = grow(blob);
			if (error)
				return error;
			output.dst = blob->data;
			output.size = blob->size;
		}
		left = ZSTD_decompressStream(stream, &output, input);
		*ret_done = output.pos;
		if (ZSTD_isError(left))
			return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? -ENOMEM :
			       ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge ? -EFBIG : -ENOEXEC;
		/* Cut off. */
		if (left && output.pos == before && input->pos == taken && output.pos < output.size)
			return -ENOEXEC;
	}
	return 0;
}

static int unpack_zstd(const void *packed, size_t packed_size, struct elf_blob *blob)
{
	ZSTD_inBuffer input = { packed, packed_size, 0 };
	ZSTD_DStream *stream = ZSTD_createDStream();
	size_t done = 0;
	int error;

	if (!stream)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, __builtin_ctz(MAX_XZ_MEMORY));
	error = decode_zstd(stream, &input, blob, &done);
	blob->size = done;
	ZSTD_freeDStream(stream);
	return error;
}

int elf_unpack_file(const void *packed, size_t packed_size, struct elf_blob *ret)
{
	static const unsigned char zstd_magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
	struct elf_blob blob = { .data = NULL };
	bool is_zstd = packed_size > sizeof(zstd_magic) && !memcmp(packed, zstd_magic, sizeof(zstd_magic));
	int error = is_zstd ? unpack_zstd(packed, packed_size, &blob) : unpack_xz(packed, packed_size, &blob);

	if (error) {
		free(blob.data);
		return error;
	}
	blob.data[blob.size] = 0;
	*ret = blob;
	return 0;
}
