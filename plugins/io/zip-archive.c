/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define ZLIB_CONST 1 /* zlib reads what is const */

#include "zip-archive.h"

#include "afp-file.h"
#include "io-input.h"

#include <string.h>
#include <zlib.h>

/*
 * zip archives, read by the directory at their end. What it says is held against the local headers and against the size of the
 * file; members may not overlap, so all of them together are not larger than deflate can make the file.
 */

#define END_BYTES 22
#define END64_BYTES 56
#define LOCATOR_BYTES 20
#define ENTRY_BYTES 46
#define LOCAL_BYTES 30
#define MAX_COMMENT 65535
#define SATURATED G_MAXUINT32    /* the number stands in the zip64 field */
#define MAX_RATIO 1032           /* deflate: 258 bytes of two bits */
#define MAX_STEP (1u << 30)      /* bytes for one call of zlib */
#define ENCRYPTION_FLAGS 0x2041u /* the old one, the strong one, hidden local headers */

static gboolean
member_error (GError **error, const char *what, const AfpZipMember *member, const char *why)
{
  g_autofree char *shown = g_strescape (member->name, NULL);

  return afp_input_refuse (error, what, "is damaged: member '%.100s' %s", shown, why);
}

static guint
get16 (const guint8 *at)
{
  return at[0] | (guint) at[1] << 8;
}

static guint32
get32 (const guint8 *at)
{
  return get16 (at) | (guint32) get16 (at + 2) << 16;
}

static guint64
get64 (const guint8 *at)
{
  return get32 (at) | (guint64) get32 (at + 4) << 32;
}

static gboolean
has_signature (const guint8 *at, char a, char b)
{
  return at[0] == 'P' && at[1] == 'K' && at[2] == a && at[3] == b;
}

static void
member_clear (gpointer data)
{
  g_free (((AfpZipMember *) data)->name);
}

/* --- where the directory is -------------------------------------------------------------------------------------- */

typedef struct {
  guint64 entries, size, begin;
} Directory;

/* The end record, which lies before a comment that ends with the file. */
static const guint8 *
find_end (const guint8 *data, gsize size)
{
  for (gsize comment = 0; comment <= MAX_COMMENT && comment + END_BYTES <= size; comment++) {
    const guint8 *at = data + (size - END_BYTES - comment);
    if (has_signature (at, 5, 6) && get16 (at + 20) == comment)
      return at;
  }
  return NULL;
}

static gboolean
read_end64 (const char *what, const guint8 *data, const guint8 *locator, Directory *directory,
            GError **error)
{
  const guint64 at = get64 (locator + 8), limit = (guint64) (locator - data);

  if (limit < END64_BYTES || at > limit - END64_BYTES || !has_signature (data + at, 6, 6))
    return afp_input_refuse (
        error, what, "is damaged: its zip64 end record is not at byte %" G_GUINT64_FORMAT, at);
  if (get32 (data + at + 16) != 0 || get32 (data + at + 20) != 0)
    return afp_input_refuse (error, what,
                             "is one of several volumes; only whole archives are read");
  directory->entries = get64 (data + at + 32);
  directory->size = get64 (data + at + 40);
  directory->begin = get64 (data + at + 48);
  return TRUE;
}

static gboolean
find_directory (const char *what, const guint8 *data, gsize size, Directory *directory,
                GError **error)
{
  const guint8 *end = find_end (data, size);

  if (end == NULL)
    return afp_input_refuse (error, what, "has no directory at its end; it is cut off");
  directory->entries = get16 (end + 10);
  directory->size = get32 (end + 12);
  directory->begin = get32 (end + 16);
  if (end - data >= LOCATOR_BYTES && has_signature (end - LOCATOR_BYTES, 6, 7)) {
    if (!read_end64 (what, data, end - LOCATOR_BYTES, directory, error))
      return FALSE;
  } else if (get16 (end + 4) != 0 || get16 (end + 6) != 0)
    return afp_input_refuse (error, what,
                             "is one of several volumes; only whole archives are read");
  const guint64 limit = (guint64) (end - data);
  if (directory->begin > limit || directory->size > limit - directory->begin ||
      directory->entries > directory->size / ENTRY_BYTES)
    return afp_input_refuse (error, what,
                             "is damaged: a directory of %" G_GUINT64_FORMAT
                             " members in %" G_GUINT64_FORMAT " bytes at byte %" G_GUINT64_FORMAT
                             ", but it ends at byte %" G_GUINT64_FORMAT,
                             directory->entries, directory->size, directory->begin, limit);
  return TRUE;
}

/* --- its entries ------------------------------------------------------------------------------------------------- */

/* The next number of the zip64 field, if @value says that it stands there. */
static gboolean
take_wide (const guint8 **field, gsize *n, guint64 *value)
{
  if (*value != SATURATED)
    return TRUE;
  if (*n < 8)
    return FALSE;
  *value = get64 (*field);
  *field += 8;
  *n -= 8;
  return TRUE;
}

/* Sizes and place that do not fit into 32 bits stand in the extra field 1. */
static gboolean
read_wide (const guint8 *extra, gsize n, AfpZipMember *member)
{
  const guint8 *field = NULL;
  gsize length = 0;

  while (n >= 4 && field == NULL) {
    const gsize here = get16 (extra + 2);
    if (here > n - 4)
      break;
    if (get16 (extra) == 1) {
      field = extra + 4;
      length = here;
    }
    extra += 4 + here;
    n -= 4 + here;
  }
  return take_wide (&field, &length, &member->bytes) &&
         take_wide (&field, &length, &member->packed) &&
         take_wide (&field, &length, &member->begin);
}

/* What no member can be, whatever it holds. */
static const char *
check_sizes (const AfpZipMember *member, guint64 limit)
{
  if (member->begin > limit || limit - member->begin < LOCAL_BYTES)
    return "begins beyond the members";
  if (member->packed > limit - member->begin - LOCAL_BYTES)
    return "ends beyond the members";
  if (member->method == AFP_ZIP_STORED && member->packed != member->bytes)
    return "is stored with another size than it has";
  if (member->method == AFP_ZIP_DEFLATED && member->bytes / MAX_RATIO > member->packed)
    return "claims more bytes than can be packed into so few";
  return NULL;
}

/* @at: an entry of the directory, which ends at @end. Returns the next one, or NULL with the error set. */
static const guint8 *
read_entry (const char *what, const guint8 *at, const guint8 *end, guint64 limit, GArray *members,
            GError **error)
{
  if (end - at < ENTRY_BYTES || !has_signature (at, 1, 2)) {
    afp_input_refuse (error, what, "is damaged: entry %u of its directory is none", members->len);
    return NULL;
  }
  const gsize name = get16 (at + 28), extra = get16 (at + 30), comment = get16 (at + 32);
  if ((gsize) (end - at) - ENTRY_BYTES < name + extra + comment ||
      memchr (at + ENTRY_BYTES, '\0', name) != NULL) {
    afp_input_refuse (error, what, "is damaged: the name of entry %u of its directory cannot be",
                      members->len);
    return NULL;
  }
  AfpZipMember member = { .name = g_strndup ((const char *) at + ENTRY_BYTES, name),
                          .method = get16 (at + 10),
                          .encrypted = (get16 (at + 8) & ENCRYPTION_FLAGS) != 0,
                          .crc32 = get32 (at + 16),
                          .packed = get32 (at + 20),
                          .bytes = get32 (at + 24),
                          .begin = get32 (at + 42) };
  g_array_append_val (members, member);
  AfpZipMember *last = &g_array_index (members, AfpZipMember, members->len - 1);
  const char *why = !read_wide (at + ENTRY_BYTES + name, extra, last)
                        ? "has no size of 64 bits where one is announced"
                        : check_sizes (last, limit);
  if (why != NULL) {
    member_error (error, what, last, why);
    return NULL;
  }
  return at + ENTRY_BYTES + name + extra + comment;
}

/* Goes from the local header, which must be of the same member, to what it packs. */
static gboolean
find_data (const char *what, const guint8 *data, guint64 limit, AfpZipMember *member,
           GError **error)
{
  const guint8 *local = data + member->begin;
  const gsize n = strlen (member->name);

  if (!has_signature (local, 3, 4))
    return member_error (error, what, member, "does not begin where the directory says");
  const gsize name = get16 (local + 26), extra = get16 (local + 28);
  if (limit - member->begin - LOCAL_BYTES - member->packed < name + extra)
    return member_error (error, what, member, "ends beyond the members");
  if (name != n || memcmp (local + LOCAL_BYTES, member->name, n) != 0 ||
      get16 (local + 8) != member->method)
    return member_error (error, what, member, "has another name or method where it lies");
  member->begin += LOCAL_BYTES + name + extra;
  return TRUE;
}

/* --- all together ------------------------------------------------------------------------------------------------ */

static int
compare_begin (gconstpointer a, gconstpointer b)
{
  const AfpZipMember *x = *(const AfpZipMember *const *) a, *y = *(const AfpZipMember *const *) b;

  return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Names are distinct; from one local header to the end of the data nothing else begins. */
static gboolean
check_members (const char *what, const guint8 *data, guint64 limit, GArray *members, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) order = g_ptr_array_sized_new (members->len);
  guint64 end = 0;

  for (guint i = 0; i < members->len; i++) {
    AfpZipMember *member = &g_array_index (members, AfpZipMember, i);
    if (!g_hash_table_add (names, member->name))
      return member_error (error, what, member, "occurs twice");
    g_ptr_array_add (order, member);
  }
  g_ptr_array_sort (order, compare_begin);
  for (guint i = 0; i < order->len; i++) {
    AfpZipMember *member = order->pdata[i];
    if (member->begin < end)
      return member_error (error, what, member, "overlaps another one");
    if (!find_data (what, data, limit, member, error))
      return FALSE;
    end = member->begin + member->packed;
  }
  return TRUE;
}

GArray *
afp_zip_list (const char *what, GBytes *map, GError **error)
{
  g_autoptr (GArray) members = g_array_new (FALSE, FALSE, sizeof (AfpZipMember));
  Directory directory = { 0 };
  gsize size;
  const guint8 *data = g_bytes_get_data (map, &size);

  g_array_set_clear_func (members, member_clear);
  if (!find_directory (what, data, size, &directory, error))
    return NULL;
  const guint8 *at = data + directory.begin, *end = at + directory.size;
  for (guint64 i = 0; i < directory.entries; i++) {
    at = read_entry (what, at, end, directory.begin, members, error);
    if (at == NULL)
      return NULL;
  }
  if (at != end) {
    afp_input_refuse (
        error, what, "is damaged: %" G_GSIZE_FORMAT " bytes follow the %u members of its directory",
        (gsize) (end - at), members->len);
    return NULL;
  }
  return check_members (what, data, directory.begin, members, error) ? g_steal_pointer (&members)
                                                                     : NULL;
}

/* --- what they hold ---------------------------------------------------------------------------------------------- */

/* Up to @n bytes; @ended: the stream ended there, and nothing packed was left. Returns how many there were. */
static gsize
inflate_some (const guint8 *packed, guint64 n_packed, guint8 *out, gsize n, gboolean *ended)
{
  z_stream stream = { 0 };
  gsize done = 0;
  int result;

  *ended = FALSE;
  if (inflateInit2 (&stream, -MAX_WBITS) != Z_OK)
    return 0;
  gboolean over = FALSE;
  do {
    if (stream.avail_in == 0) {
      stream.next_in = packed;
      stream.avail_in = (uInt) MIN (n_packed, MAX_STEP);
      packed += stream.avail_in;
      n_packed -= stream.avail_in;
    }
    /* Room for one byte more than is wanted shows whether the stream ends there. */
    Bytef beyond;
    const uInt room = (uInt) MIN (n - done, MAX_STEP);
    stream.next_out = room > 0 ? out + done : &beyond;
    stream.avail_out = MAX (room, 1);
    result = inflate (&stream, Z_NO_FLUSH);
    if (room > 0)
      done += room - stream.avail_out;
    else
      over = stream.avail_out == 0;
  } while (result == Z_OK && !over);
  *ended = result == Z_STREAM_END && !over && stream.avail_in == 0 && n_packed == 0;
  inflateEnd (&stream);
  return done;
}

static const guint8 *
get_packed (GBytes *map, const AfpZipMember *member)
{
  return (const guint8 *) g_bytes_get_data (map, NULL) + member->begin;
}

GBytes *
afp_zip_peek (const char *what, GBytes *map, const AfpZipMember *member, gsize n, GError **error)
{
  gboolean ended;

  n = (gsize) MIN (n, member->bytes);
  if (member->method == AFP_ZIP_STORED)
    return g_bytes_new_from_bytes (map, (gsize) member->begin, n);
  g_autofree guint8 *out = g_malloc (MAX (n, 1));
  if (inflate_some (get_packed (map, member), member->packed, out, n, &ended) != n) {
    member_error (error, what, member, "cannot be unpacked");
    return NULL;
  }
  return g_bytes_new_take (g_steal_pointer (&out), n);
}

static GBytes *
inflate_all (const char *what, GBytes *map, const AfpZipMember *member, GError **error)
{
  const gsize n = (gsize) member->bytes;
  g_autofree guint8 *out = g_try_malloc (MAX (n, 1));
  gboolean ended;

  if (out == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "%s: no memory for the %" G_GSIZE_FORMAT " bytes of member '%s'", what, n,
                 member->name);
    return NULL;
  }
  const gsize done = inflate_some (get_packed (map, member), member->packed, out, n, &ended);
  if (done != n || !ended) {
    g_autofree char *why =
        g_strdup_printf ("unpacks to %s%" G_GSIZE_FORMAT " bytes, not to %" G_GSIZE_FORMAT,
                         done < n ? "" : "more than ", done, n);
    member_error (error, what, member, why);
    return NULL;
  }
  return g_bytes_new_take (g_steal_pointer (&out), n);
}

GBytes *
afp_zip_read (const char *what, GBytes *map, const AfpZipMember *member, gboolean check,
              GError **error)
{
  const gboolean stored = member->method == AFP_ZIP_STORED;
  g_autoptr (GBytes) bytes =
      stored ? g_bytes_new_from_bytes (map, (gsize) member->begin, (gsize) member->bytes)
             : inflate_all (what, map, member, error);

  if (bytes == NULL || (stored && !check))
    return g_steal_pointer (&bytes);
  const guint32 found = afp_file_crc32 (g_bytes_get_data (bytes, NULL), (gsize) member->bytes);
  if (found == member->crc32)
    return g_steal_pointer (&bytes);
  g_autofree char *why = g_strdup_printf (
      "has the checksum %08x, %08x is expected; get the file again", found, member->crc32);
  member_error (error, what, member, why);
  return NULL;
}
