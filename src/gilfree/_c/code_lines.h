/* From an instruction to its file, function and line: code objects read as bytes, without Python.

   The program may overwrite them during the read. So each pointer is checked before it is followed,
   each length is bounded, and what is inconsistent counts as unknown. */

#ifndef GILFREE_CODE_LINES_H
#define GILFREE_CODE_LINES_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "safe_read.h"

enum {
    GILFREE_CODES = 8192,           /* code objects that are remembered; further ones are unknown */
    GILFREE_TABLE_BYTES = 1 << 16,  /* longest line table that is read */
    GILFREE_NAME_BYTES = 1024,
    GILFREE_UNKNOWN = -1,
};

/* A code object, as it was in the first sample that met it. */
struct gilfree_code {
    uintptr_t address, file_object, function_object, table_object;
    int first_line;
    char *file, *function;  /* UTF-8; NULL if it could not be read */
};

struct gilfree_codes {
    const struct gilfree_memory *memory;
    const struct gilfree_layout *layout;
    struct gilfree_code *code;
    int count;
    int slot[2 * GILFREE_CODES];  /* hash table by address: 1 + number of the code, or 0 */
    unsigned char table[GILFREE_TABLE_BYTES];
};

static uintptr_t gilfree_pointer(const char *bytes, int offset)
{
    uintptr_t pointer;
    memcpy(&pointer, bytes + offset, sizeof(pointer));
    return pointer;
}

static int gilfree_int(const char *bytes, int offset)
{
    int number;
    memcpy(&number, bytes + offset, sizeof(number));
    return number;
}

/* Write one character in UTF-8; return its end. */
static char *gilfree_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char) c;
    } else if (c < 0x800) {
        *to++ = (char) (0xC0 | c >> 6);
        *to++ = (char) (0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char) (0xE0 | c >> 12);
        *to++ = (char) (0x80 | (c >> 6 & 0x3F));
        *to++ = (char) (0x80 | (c & 0x3F));
    } else {
        *to++ = (char) (0xF0 | (c >> 18 & 7));
        *to++ = (char) (0x80 | (c >> 12 & 0x3F));
        *to++ = (char) (0x80 | (c >> 6 & 0x3F));
        *to++ = (char) (0x80 | (c & 0x3F));
    }
    return to;
}

/* Copy a str as UTF-8; the caller frees it. NULL if it can't be read or is too long. */
static char *gilfree_read_string(const struct gilfree_codes *codes, uintptr_t address)
{
    PyASCIIObject head;
    char raw[GILFREE_NAME_BYTES], text[4 * GILFREE_NAME_BYTES + 1], *end = text;
    Py_ssize_t i;
    int kind;
    if (!gilfree_read(codes->memory, address, &head, sizeof(head))
        || (uintptr_t) Py_TYPE(&head) != codes->layout->string_type || !head.state.compact)
        return NULL;
    kind = head.state.kind;
    /* A division: with a garbage length, `length * kind` might overflow to a small number. */
    if (kind < 1 || kind > 4 || kind == 3 || head.length < 0 || head.length > GILFREE_NAME_BYTES / kind)
        return NULL;
    address += head.state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    if (!gilfree_read(codes->memory, address, raw, (size_t) (head.length * kind)))
        return NULL;
    for (i = 0; i < head.length; i++)
        end = gilfree_utf8(end, kind == 1   ? ((uint8_t *) raw)[i]
                                : kind == 2 ? ((uint16_t *) (void *) raw)[i]
                                            : ((uint32_t *) (void *) raw)[i]);
    *end = 0;
    return strdup(text);
}

/* Empty the table, so that reports, which may go on for months, never fill it. */
static void gilfree_forget_codes(struct gilfree_codes *codes)
{
    int i;
    for (i = 0; i < codes->count; i++) {
        free(codes->code[i].file);
        free(codes->code[i].function);
    }
    codes->count = 0;
    memset(codes->slot, 0, sizeof(codes->slot));
}

/* Read a varint of a line table: six bits a byte, the lowest ones first. */
static unsigned gilfree_varint(const unsigned char **at, const unsigned char *end)
{
    unsigned value = 0, shift = 0, byte = 0x40;
    while (byte & 0x40 && *at < end && shift < 32) {
        byte = *(*at)++;
        value |= (byte & 0x3F) << shift;
        shift += 6;
    }
    return value;
}

/* Find the line of an instruction in a line table. CPython describes its format in
   Objects/locations.md (3.11) and InternalDocs/code_objects.md (later). `unit` is the index of the
   instruction in code units. */
static int gilfree_line_in(const unsigned char *at, const unsigned char *end, int line, int64_t unit)
{
    while (at < end) {
        int code = *at >> 3 & 15, has_line = 1;
        unit -= (*at++ & 7) + 1;
        if (code == 15) {  /* no line */
            has_line = 0;
        } else if (code == 13 || code == 14) {  /* the distance in lines, as a signed varint */
            unsigned delta = gilfree_varint(&at, end);
            line += delta & 1 ? -(int) (delta >> 1) : (int) (delta >> 1);
        } else if (code >= 10) {
            line += code - 10;
        }
        if (unit < 0)
            return has_line && line > 0 ? line : GILFREE_UNKNOWN;
        while (at < end && !(*at & 0x80))  /* only the first byte of an entry has this bit */
            at++;
    }
    return GILFREE_UNKNOWN;
}

/* Return the number of the code object that was copied to `bytes`, or GILFREE_UNKNOWN. */
static int gilfree_code_number(struct gilfree_codes *codes, uintptr_t address, const char *bytes)
{
    const struct gilfree_layout *layout = codes->layout;
    unsigned slot = (unsigned) ((address >> 4) * 2654435761U) % (2 * GILFREE_CODES);
    struct gilfree_code seen = {
        address,
        gilfree_pointer(bytes, layout->code_file),
        gilfree_pointer(bytes, layout->code_function),
        gilfree_pointer(bytes, layout->code_lines),
        gilfree_int(bytes, layout->code_first_line),
        NULL,
        NULL,
    };
    for (; codes->slot[slot]; slot = (slot + 1) % (2 * GILFREE_CODES)) {
        const struct gilfree_code *known = &codes->code[codes->slot[slot] - 1];
        if (known->address == address && known->file_object == seen.file_object
            && known->function_object == seen.function_object
            && known->table_object == seen.table_object && known->first_line == seen.first_line)
            return codes->slot[slot] - 1;
    }
    if (codes->count == GILFREE_CODES)
        return GILFREE_UNKNOWN;
    seen.file = gilfree_read_string(codes, seen.file_object);
    seen.function = gilfree_read_string(codes, seen.function_object);
    codes->code[codes->count] = seen;
    codes->slot[slot] = ++codes->count;
    return codes->count - 1;
}

/* Find the code number and the line of an instruction; either may be GILFREE_UNKNOWN. */
static void gilfree_find_line(
    struct gilfree_codes *codes, uintptr_t address, uintptr_t instruction, int *code, int *line)
{
    const struct gilfree_layout *layout = codes->layout;
    char bytes[512];
    PyBytesObject table;
    uintptr_t at, first = address + (uintptr_t) layout->code_instructions;
    *code = *line = GILFREE_UNKNOWN;
    if (layout->code_size > (int) sizeof(bytes)
        || !gilfree_read(codes->memory, address, bytes, (size_t) layout->code_size)
        || (uintptr_t) Py_TYPE((PyObject *) (void *) bytes) != layout->code_type)
        return;
    *code = gilfree_code_number(codes, address, bytes);
    at = gilfree_pointer(bytes, layout->code_lines);
    if (instruction < first || !gilfree_read(codes->memory, at, &table, sizeof(table))
        || (uintptr_t) Py_TYPE(&table) != layout->bytes_type || Py_SIZE(&table) < 0
        || Py_SIZE(&table) > GILFREE_TABLE_BYTES
        || !gilfree_read(codes->memory, at + offsetof(PyBytesObject, ob_sval), codes->table,
                         (size_t) Py_SIZE(&table)))
        return;
    *line = gilfree_line_in(codes->table, codes->table + Py_SIZE(&table),
                            gilfree_int(bytes, layout->code_first_line),
                            (int64_t) (instruction - first) / 2);
}

#endif
