#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "proto/bytes.h"

/* Message → JSON by descriptor: field names as they are, enums as lower-case words, bytes as
 * hex, doubles in the shortest form that reads back equal (NaN and Inf: null), a oneof as
 * "kind": its member's name with the member's fields beside it, absent fields left out (absent
 * repeated fields are []), a repeated message of exactly two fields of which the first is
 * `name` as an object. The same message always gives the same bytes. */
int json_message(struct buf *out, const ProtobufCMessage *m, bool pretty);

/* A string as a JSON string with quotes; malformed UTF-8 becomes U+FFFD. */
int json_string(struct buf *out, const char *p, size_t n);

/* ---- reading: a thin door to the JSON library; positions are kept in errors ---- */
struct json; /* one value; borrows from its document except for the root */

/* Parses one value of p[0..n). Duplicate keys, depth > 64 and trailing bytes are errors.
 * e: "line:column: what", counted within p. */
int json_parse(struct json **out, const char *p, size_t n, struct err *e);
void json_free(struct json *root);

enum json_type { JSON_NULL_, JSON_BOOL_, JSON_NUMBER_, JSON_STRING_, JSON_ARRAY_, JSON_OBJECT_ };
enum json_type json_kind(const struct json *v);
/* NULL: no such key, or no object. */
const struct json *json_get(const struct json *object, const char *key);
size_t json_size(const struct json *v); /* of array or object; else 0 */
const struct json *json_at(const struct json *array, size_t i);
const char *json_text(const struct json *v, size_t *n); /* NULL: no string */
double json_number(const struct json *v, double otherwise);
bool json_bool(const struct json *v, bool otherwise);
const char *json_key(const struct json *object, size_t i); /* i-th key in the file's order */
const struct json *json_value(const struct json *object, size_t i);

#endif
