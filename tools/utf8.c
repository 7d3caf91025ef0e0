/* SPDX-License-Identifier: BSD-2-Clause */
#include "utf8.h"

#include <string.h>
#include <wchar.h>

static const struct utf8_form {
	uint8_t mask, lead, length;
	uint32_t lowest; /* what is below has a shorter form */
} forms[] = {
	{ 0x80, 0x00, 1, 0x0 },
	{ 0xe0, 0xc0, 2, 0x80 },
	{ 0xf0, 0xe0, 3, 0x800 },
	{ 0xf8, 0xf0, 4, 0x10000 },
};

size_t utf8_next(const char *text, size_t length, uint32_t *code)
{
	const unsigned char *bytes = (const unsigned char *)text;

	for (size_t i = 0; length && i < sizeof(forms) / sizeof(forms[0]); i++) {
		const struct utf8_form *form = &forms[i];
		uint32_t value;

		if ((bytes[0] & form->mask) != form->lead)
			continue;
		if (form->length > length)
			return 0;
		value = bytes[0] & (uint8_t)~form->mask;
		for (size_t k = 1; k < form->length; k++) {
			if ((bytes[k] & 0xc0) != 0x80)
				return 0;
			value = value << 6 | (bytes[k] & 0x3f);
		}
		if (value < form->lowest || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
			return 0;
		*code = value;
		return form->length;
	}
	return 0;
}

bool utf8_valid(const char *text)
{
	size_t left = strlen(text);
	uint32_t code;

	while (left > 0) {
		size_t length = utf8_next(text, left, &code);

		if (!length)
			return false;
		text += length;
		left -= length;
	}
	return true;
}

bool utf8_is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
	       code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
	       code == 0xfeff;
}

int utf8_columns(uint32_t code)
{
	int columns;

	if (code < 0x80)
		return 1;
	columns = wcwidth((wchar_t)code);
	return columns < 0 ? 1 : columns;
}

int utf8_width(const char *text)
{
	size_t left = strlen(text);
	int columns = 0;

	while (left > 0) {
		uint32_t code = '?';
		size_t length = utf8_next(text, left, &code);

		length = length ? length : 1;
		columns += utf8_columns(code);
		text += length;
		left -= length;
	}
	return columns;
}
