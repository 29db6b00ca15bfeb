/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * libdiskimg: virtual-disk images. Recognises, inspects, reads, converts and compares them, safely.
 *
 *     diskimg_image *image;
 *     diskimg_error *error;
 *     if (diskimg_open_path("disk.qcow2", NULL, &image, &error) != DISKIMG_OK) {
 *         fprintf(stderr, "%s\n", diskimg_error_message(error));
 *         diskimg_error_free(error);
 *         return 1;
 *     }
 *     printf("%llu bytes\n", (unsigned long long)diskimg_size(image));
 *     diskimg_close(image);
 *
 * The bytes of an image, and every name inside it, may come from a stranger: nothing a name points to is opened
 * unless it is allowed, raw is never guessed, and every cost is bounded.
 *
 * Rules that hold for every function:
 *
 * Ownership. What a function stores in `*out` is the caller's, and each has one function that frees it; NULL is
 * fine there. A `const char *` that is returned belongs to its handle.
 *
 * Results. On failure `*out` is NULL, a count, size or state is 0, and a structure is as it was.
 *
 * Threads. Functions that take a handle as `const` may run at once on any number of threads; the others need the
 * handle to themselves. A handle may move between threads. No function uses another handle than those it is
 * given. The library has no global state, installs no signal handler, prints nothing (but for the one line by
 * which Rust tells of a bug, on standard error), and no thread of its own is left when a call has returned.
 *
 * Errors. DISKIMG_OK or DISKIMG_ERR_*; the last parameter takes an error to read, and may be NULL.
 *
 * Units. Offsets and lengths are bytes.
 *
 * Structures. Each that may grow begins with its size: begin with its _INIT macro. A result is filled in as far as
 * its size goes; members of options that the library does not know have to be zero.
 *
 * Callbacks. They return 0 or what is said there, must not throw or longjmp, and may not use the handle whose
 * call they serve. Where nothing else is said, a pointer may not be NULL; one that is gives
 * DISKIMG_ERR_INVALID_ARGUMENT, and never a crash.
 */


#ifndef DISKIMG_H
#define DISKIMG_H

/* Made by cbindgen of crates/capi/src; tests/header.rs compares it. Change it there. */

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#ifndef DISKIMG_API
#  define DISKIMG_API
#endif

#if defined(__GNUC__) || defined(__clang__)
#  define DISKIMG_MUST_USE __attribute__((warn_unused_result))
#else
#  define DISKIMG_MUST_USE
#endif

/* First values of the structures: as large as this header knows them, everything else at its default. */
#define DISKIMG_IO_INIT \
    { sizeof(diskimg_io), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }
#define DISKIMG_OPEN_OPTIONS_INIT \
    { sizeof(diskimg_open_options), 0, 0, 0, 0, 0, 0, NULL, NULL, -1, 0, 0, 0, NULL, NULL, NULL, NULL }
#define DISKIMG_CONVERT_OPTIONS_INIT \
    { sizeof(diskimg_convert_options), 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL }
#define DISKIMG_CONVERT_RESULT_INIT { sizeof(diskimg_convert_result), 0, 0, 0, 0 }
#define DISKIMG_CHECK_RESULT_INIT { sizeof(diskimg_check_result), 0, 0, 0, 0, 0, 0, 0 }
#define DISKIMG_INFO_INIT \
    { sizeof(diskimg_info), 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL }
#define DISKIMG_REFERENCE_INIT { sizeof(diskimg_reference), 0, 0, NULL, 0, NULL, 0 }
#define DISKIMG_SNAPSHOT_INIT { sizeof(diskimg_snapshot), NULL, NULL, 0, 0, 0, 0, 0 }
#define DISKIMG_FINDING_INIT { sizeof(diskimg_finding), 0, 0, NULL, NULL, 0 }


// Version of the header; compare with diskimg_version_number().
#define DISKIMG_VERSION_MAJOR 0

// See DISKIMG_VERSION_MAJOR.
#define DISKIMG_VERSION_MINOR 1

// See DISKIMG_VERSION_MAJOR.
#define DISKIMG_VERSION_PATCH 0

// Can be read.
#define DISKIMG_CAN_READ 1

// Can be converted as it arrives, in order: diskimg_convert_stream_to_*().
#define DISKIMG_CAN_STREAM 2

// Can be written: diskimg_convert_to_*() and diskimg_create_*().
#define DISKIMG_CAN_CREATE 4

// Can be checked: diskimg_check().
#define DISKIMG_CAN_CHECK 8

// Never call two of the functions at once. Without it they are called from several threads at a time.
#define DISKIMG_IO_SERIAL 1

// The layer below: what is not stored in the image is read there.
#define DISKIMG_ROLE_BACKING 1

// The bytes of the disk themselves: an external data file.
#define DISKIMG_ROLE_DATA_FILE 2

// One of the files that a disk is put together of.
#define DISKIMG_ROLE_EXTENT 3

// The parent of a differencing image.
#define DISKIMG_ROLE_PARENT 4

// What nothing recognises is raw. Without it that is DISKIMG_ERR_UNKNOWN_FORMAT.
#define DISKIMG_OPEN_ALLOW_RAW (1 << 0)

// A compressed file is taken as it is. Without it gz, xz and zst are unwrapped, one level deep.
#define DISKIMG_OPEN_NO_UNWRAP (1 << 1)

// Backing, extent and data files are opened: regular files within the directory of the image and below it.
// Needs diskimg_open_path(), or DISKIMG_OPEN_DIR_FD. Without it every reference is refused.
#define DISKIMG_OPEN_REFERENCES (1 << 2)

// `dir_fd` is the directory that references are followed in. Without it that is the directory of the image.
#define DISKIMG_OPEN_DIR_FD (1 << 3)

// Only what the image claims is read, and nothing else is opened. Works with encrypted images and without the
// files that an image needs. The disk cannot be read then. Without it an image is opened to be read, or not at all.
#define DISKIMG_OPEN_INFO_ONLY (1 << 4)

// No temporary files: what would need one is DISKIMG_ERR_NEEDS_SEEK. Without it a compressed image is decoded
// into an anonymous temporary file when it is opened.
#define DISKIMG_OPEN_NO_TEMPORARY (1 << 5)

// Files opened by path are read past the page cache, where the system can. Without it they are read through it.
#define DISKIMG_OPEN_DIRECT (1 << 6)

// The image names a backing file or a parent.
#define DISKIMG_INFO_BACKING (1 << 0)

// The image names an external data file.
#define DISKIMG_INFO_DATA_FILE (1 << 1)

// The image names the files it is put together of.
#define DISKIMG_INFO_EXTENTS (1 << 2)

// The content is encrypted.
#define DISKIMG_INFO_ENCRYPTED (1 << 3)

// The image was not closed cleanly by its last writer.
#define DISKIMG_INFO_DIRTY (1 << 4)

// A writer marked the image as corrupt.
#define DISKIMG_INFO_CORRUPT (1 << 5)

// The image has internal snapshots.
#define DISKIMG_INFO_SNAPSHOTS (1 << 6)

// The content is an optical disc (ISO 9660 or UDF), to be attached as a CD-ROM.
#define DISKIMG_INFO_OPTICAL_DISC (1 << 7)

// `virtual_size` is known. A probe of a stream may not know it before the end.
#define DISKIMG_INFO_SIZE_KNOWN (1 << 8)

// `file_size` is known.
#define DISKIMG_INFO_FILE_SIZE_KNOWN (1 << 9)

// `allocated_size` is known.
#define DISKIMG_INFO_ALLOCATED_SIZE_KNOWN (1 << 10)

// Good to know; reading is not affected.
#define DISKIMG_SEVERITY_NOTE 0

// Unusual or damaged, yet readable.
#define DISKIMG_SEVERITY_WARNING 1

// Not to be used as it comes from a stranger: it reaches outside itself, or cannot be what it claims.
#define DISKIMG_SEVERITY_UNSAFE 2

// Nothing is certain yet: push more.
#define DISKIMG_PROBE_MORE 0

// The format is known, and diskimg_probe_info() tells it; the rest may come later. Of a raw disk, which some formats
// look like until their end, it is never said, and that an OVA holds no other disk shows at its end, too.
#define DISKIMG_PROBE_FORMAT 1

// All is known: pushing more is cheap and changes nothing.
#define DISKIMG_PROBE_DONE 2

// Stored bytes.
#define DISKIMG_EXTENT_DATA 1

// Reads as zeros.
#define DISKIMG_EXTENT_ZERO 2

// The image, or a layer below it, says what is there. Without it nothing does, and zeros are read.
#define DISKIMG_EXTENT_ALLOCATED 4

// Stored compressed: reading has to decode.
#define DISKIMG_EXTENT_COMPRESSED 8

// The bytes lie verbatim at `file_offset` of the file of their layer.
#define DISKIMG_EXTENT_HAS_OFFSET 16

// A file that exists is replaced, once the new one is whole. Without it that is DISKIMG_ERR_EXISTS.
#define DISKIMG_CONVERT_OVERWRITE (1 << 0)

// Units (clusters, grains) are stored compressed, by a format that can. Without it as they are.
#define DISKIMG_CONVERT_COMPRESS (1 << 1)

// Stored zeros are written as bytes. What the source says is a hole is one all the same. Without it stored zeros
// become holes too, by `sparse_size`.
#define DISKIMG_CONVERT_NO_SPARSE (1 << 2)

// A file that exists is written into, in place; block devices always are. Without it a file at a path is a new one.
#define DISKIMG_CONVERT_IN_PLACE (1 << 3)

// What is written in place, or by callbacks, is known to read as zeros: these are left out then. Without it a file is
// emptied first, and zeros are written elsewhere.
#define DISKIMG_CONVERT_TARGET_IS_ZERO (1 << 4)

// Returns before the bytes are on stable storage. Without it they are when the call returns.
#define DISKIMG_CONVERT_NO_SYNC (1 << 5)

// The file is written past the page cache, where the system can. Without it through it.
#define DISKIMG_CONVERT_DIRECT (1 << 6)

// Blocks are given out when they are written.
#define DISKIMG_PREALLOCATION_OFF 0

// All blocks of a raw file are given out first.
#define DISKIMG_PREALLOCATION_FALLOC 1

// All blocks of a raw file are written with zeros first.
#define DISKIMG_PREALLOCATION_FULL 2

// Guest bytes are wrong or unreadable, or may become so.
#define DISKIMG_PROBLEM_CORRUPTION 1

// Space is lost, and nothing else.
#define DISKIMG_PROBLEM_LEAK 2

// A flag that stops work from outside. One may serve several calls; once triggered it stays so.
typedef struct diskimg_cancel diskimg_cancel;

// What went wrong. Filled in by the last parameter of most functions, which may be NULL if nobody wants to
// know: `*err` becomes NULL on success, and on failure an error that is the caller's, to be freed with
// diskimg_error_free(). What it held before is not looked at. Any number of threads may read one error.
typedef struct diskimg_error diskimg_error;

// An opened image: its disk, and what it claims. Functions that take it as `const` may run at once on any
// threads; it may be opened on one thread and closed on another.
typedef struct diskimg_image diskimg_image;

// A probe of a stream that is pushed in pieces. Does no I/O, and keeps less than 2 MiB. One thread at a time;
// it may move between threads.
typedef struct diskimg_probe diskimg_probe;

// A disk being written. Bytes never written read as zeros. Nothing is a valid image before diskimg_finish().
typedef struct diskimg_writer diskimg_writer;

// What a function returns: DISKIMG_OK, or one of DISKIMG_ERR_*. The set grows: treat a number you do not know
// as a failure.
typedef int32_t diskimg_status;

// A format: one of DISKIMG_FORMAT_*. The set grows.
typedef uint32_t diskimg_format;

// A file of the caller's own: memory, a network, an object store.
//
// Each function gets `user`, returns 0 or a positive errno, and may be called from any thread, also from threads of
// the library, and from several at once unless DISKIMG_IO_SERIAL is set. It must not throw, longjmp, or use the handle
// that it serves. Offsets and lengths are bytes, and no length is 0.
typedef struct diskimg_io {
    // sizeof(diskimg_io).
    size_t struct_size;
    // DISKIMG_IO_SERIAL or 0.
    uint32_t flags;
    // 0.
    uint32_t reserved;
    // Handed to each function.
    void *user;
    // Reads `len` bytes at `offset` into `buf` and stores in `*nread` how many it read: fewer are asked for
    // again, none is the end of the file. Needed to read.
    int (*pread)(void *user, void *buf, size_t len, uint64_t offset, size_t *nread);
    // Stores the length of the file; asked once. Needed to read.
    int (*size)(void *user, uint64_t *bytes);
    // Stores the next run of bytes at or behind `offset` that is no hole; `*start` at the end of the file if
    // there is none. NULL: everything is data.
    int (*next_data)(void *user, uint64_t offset, uint64_t *start, uint64_t *end);
    // Writes all `len` bytes at `offset`. Needed to write; NULL for what is only read.
    int (*pwrite)(void *user, const void *buf, size_t len, uint64_t offset);
    // Makes the range read as zeros. NULL: zeros are written, or left out where the target is known to hold
    // them.
    int (*zero)(void *user, uint64_t offset, uint64_t len);
    // Gives the file its length. Called before the first write with the size of a raw disk, and after the last
    // with the length of an image. NULL: a raw disk is written, or zeroed, up to its last byte.
    int (*set_size)(void *user, uint64_t bytes);
    // Makes durable what was written; called once, when all is. May be NULL.
    int (*flush)(void *user);
    // The library needs the file no more. Called exactly once for each diskimg_io that was read, also when
    // the function that got it fails; the last call of all. May be NULL.
    void (*close)(void *user);
} diskimg_io;

// Answers a reference: a name inside an image that points outside it, as the image has it, but relative to the
// directory of the outermost image. A stranger's bytes: never open it as it is. Returns 0 and fills `*out`, of
// which `struct_size` is set and all else zero; or an errno, such as ENOENT or EACCES, to refuse. `role` is one
// of DISKIMG_ROLE_*. The library closes what it got.
typedef int (*diskimg_resolve_fn)(void *user, uint32_t role, const char *name, struct diskimg_io *out);

// Told in words of what a careful importer should know about an image, while it is opened: `level` is one of
// DISKIMG_SEVERITY_*. The message ends when the call does. Called on the thread that opens.
typedef void (*diskimg_log_fn)(void *user, int level, const char *message);

// How an image is opened. Begin with DISKIMG_OPEN_OPTIONS_INIT; members left at zero have their defaults, which
// suit images from strangers, and so does NULL for the whole.
typedef struct diskimg_open_options {
    // sizeof(diskimg_open_options).
    size_t struct_size;
    // Bits of DISKIMG_OPEN_*.
    uint32_t flags;
    // The format of the (unwrapped) image; DISKIMG_FORMAT_AUTO recognises it.
    diskimg_format format;
    // The largest virtual size in bytes that is accepted; 0 for 64 TiB.
    uint64_t max_virtual_size;
    // Bytes of tables kept in memory; 0 for 16 MiB.
    uint64_t max_cache;
    // Bytes that a decoder may need for its dictionary; 0 for 128 MiB.
    uint64_t max_decoder_memory;
    // The most bytes of a temporary file; 0 for 64 GiB.
    uint64_t max_temporary;
    // The directory for temporary files; NULL for the system's.
    const char *temporary_directory;
    // Id or name of an internal snapshot to read instead of the active state; NULL for none.
    const char *snapshot;
    // With DISKIMG_OPEN_DIR_FD: the directory that references are followed in. Stays the caller's.
    int dir_fd;
    // Layers that may lie below the image; 0 for 16.
    uint32_t max_depth;
    // Threads that decode a compressed file; 0 for one a core.
    uint32_t threads;
    // 0.
    uint32_t reserved;
    // Answers references; NULL refuses them, or leaves them to DISKIMG_OPEN_REFERENCES. Called while an image
    // is opened or checked, on that thread.
    diskimg_resolve_fn resolve;
    // Handed to `resolve`.
    void *resolve_user;
    // Told of findings; may be NULL.
    diskimg_log_fn log;
    // Handed to `log`.
    void *log_user;
} diskimg_open_options;

// How a file is compressed: one of DISKIMG_WRAPPER_*. The set grows.
typedef uint32_t diskimg_wrapper;

// What an image claims: claims of its bytes, not promises of the library. Begin with DISKIMG_INFO_INIT. Strings
// live as long as the handle they came from.
typedef struct diskimg_info {
    // sizeof(diskimg_info): as much is filled in, and zeros behind what the library knows.
    size_t struct_size;
    // The format, inside any wrapper.
    diskimg_format format;
    // How the file is compressed.
    diskimg_wrapper wrapper;
    // Bits of DISKIMG_INFO_*.
    uint32_t flags;
    // The version number of the format; 0 if it has none.
    uint32_t version;
    // Size in bytes of the disk the guest sees.
    uint64_t virtual_size;
    // Length in bytes of the file.
    uint64_t file_size;
    // Bytes that the file takes up on its file system.
    uint64_t allocated_size;
    // Bytes of a cluster, grain or block; 0 where the format has none.
    uint64_t cluster_size;
    // The format's own name for the layout, such as "streamOptimized"; NULL where it has only one.
    const char *subformat;
    // How units are compressed, such as "zstd"; NULL if the header does not say.
    const char *compression;
    // How the content is encrypted, such as "luks"; NULL if it is not.
    const char *encryption;
    // What the bytes of a raw disk begin with, such as "gpt"; NULL if they do not say.
    const char *content;
} diskimg_info;

// A name inside an image that points outside it. A stranger's bytes: never open it as it is.
typedef struct diskimg_reference {
    // sizeof(diskimg_reference).
    size_t struct_size;
    // One of DISKIMG_ROLE_*.
    uint32_t role;
    // 1 if `offset` is known.
    uint32_t offset_known;
    // The name exactly as it stands in the image, with a NUL behind it. Lives as long as the image.
    const char *name;
    // Bytes of the name; there may be NULs among them.
    size_t name_length;
    // The format the image says the file has; NULL if it does not say. Lives as long as the image.
    const char *format;
    // Byte offset of the name in the image file.
    uint64_t offset;
} diskimg_reference;

// An internal snapshot, as its image lists it.
typedef struct diskimg_snapshot {
    // sizeof(diskimg_snapshot).
    size_t struct_size;
    // The unique id, UTF-8, not escaped for a terminal. Lives as long as the image.
    const char *id;
    // The name, UTF-8, not escaped for a terminal. Lives as long as the image.
    const char *name;
    // Size in bytes of the disk when the snapshot was taken.
    uint64_t virtual_size;
    // Bytes of saved machine state; 0 without.
    uint64_t vm_state_size;
    // How long the guest had been running, in nanoseconds.
    uint64_t vm_clock_nanoseconds;
    // When it was taken, seconds since 1970 (UTC).
    uint32_t date_seconds;
    // Nanoseconds of that second.
    uint32_t date_nanoseconds;
} diskimg_snapshot;

// Something that a careful importer should know about an image.
typedef struct diskimg_finding {
    // sizeof(diskimg_finding).
    size_t struct_size;
    // One of DISKIMG_SEVERITY_*.
    int severity;
    // 1 if `offset` is known.
    uint32_t offset_known;
    // A short name for programs, such as "backing_file". Lives as long as the image.
    const char *check;
    // One line for people, names escaped. Lives as long as the image.
    const char *message;
    // Byte offset in the image file.
    uint64_t offset;
} diskimg_finding;

// A run of the guest's bytes of one kind. All members are bytes, but for flags and depth.
typedef struct diskimg_extent {
    // Guest offset of the first byte.
    uint64_t start;
    // Bytes in the run; at least one.
    uint64_t length;
    // With DISKIMG_EXTENT_HAS_OFFSET: where they lie in the file.
    uint64_t file_offset;
    // Bits of DISKIMG_EXTENT_*.
    uint32_t flags;
    // Layers above the one that answered; 0 is the image itself.
    uint32_t depth;
} diskimg_extent;

// Told of progress, always on the thread that made the call: first of 0 bytes, in the end of all, and never of fewer
// than before. `total` is 0 where it is not known, as with a stream: `done` then counts the image's bytes that came,
// unwrapped, and where it is kept first those of the disk beside them. Non-zero stops the work with
// DISKIMG_ERR_CANCELLED.
typedef int (*diskimg_progress_fn)(void *user, uint64_t done, uint64_t total);

// How a disk is converted or created. Begin with DISKIMG_CONVERT_OPTIONS_INIT; members left at zero have their
// defaults, and so has NULL for the whole: a sparse raw file, durable when the call returns.
typedef struct diskimg_convert_options {
    // sizeof(diskimg_convert_options).
    size_t struct_size;
    // Bits of DISKIMG_CONVERT_*.
    uint32_t flags;
    // The format of the target; DISKIMG_FORMAT_AUTO is raw.
    diskimg_format format;
    // Worker threads; 0 for one a core. The bytes written do not depend on it.
    uint32_t threads;
    // The compression level; 0 for the method's default.
    int32_t level;
    // One of DISKIMG_PREALLOCATION_*, for raw files; an image format has a setting for it.
    uint32_t preallocation;
    // 0.
    uint32_t reserved;
    // Bytes of buffers over all threads; 0 for 32 MiB.
    uint64_t max_memory;
    // Runs of zeros of this many bytes become holes, a power of two of at least 512: all bytes are searched
    // then. 0: by 4 KiB, where bytes pass through our hands at all.
    uint64_t sparse_size;
    // The format's own settings, as `qemu-img -o` takes them: "cluster_size=2M,compat=v3". May be NULL.
    const char *settings;
    // Told of progress; may be NULL.
    diskimg_progress_fn progress;
    // Handed to `progress`.
    void *progress_user;
    // Stops the work when it is triggered; may be NULL.
    const struct diskimg_cancel *cancel;
} diskimg_convert_options;

// What a conversion did, in bytes of the guest's disk. Begin with DISKIMG_CONVERT_RESULT_INIT.
typedef struct diskimg_convert_result {
    // sizeof(diskimg_convert_result).
    size_t struct_size;
    // Size of the disk.
    uint64_t virtual_size;
    // Bytes stored as data, before any compression.
    uint64_t written;
    // Bytes of these that the kernel copied from file to file.
    uint64_t copied;
    // Bytes left as holes or zeros.
    uint64_t zeros;
} diskimg_convert_result;

// Writes all `len` bytes at the end of a stream. Returns 0 or a positive errno. Called from threads of the
// library, never twice at once.
typedef int (*diskimg_write_fn)(void *user, const void *buf, size_t len);

// Reads up to `len` bytes of a stream into `buf` and stores in `*nread` how many; 0 is its end. Returns 0 or a
// positive errno. Called from a thread of the library or the caller's, never twice at once, and no more once the function that
// got it has returned.
typedef int (*diskimg_read_fn)(void *user, void *buf, size_t len, size_t *nread);

// Told of one problem: `kind` is one of DISKIMG_PROBLEM_*, `file_offset` UINT64_MAX where there is no one place.
// The message ends when the call does. Called on the thread that checks. Non-zero stops with
// DISKIMG_ERR_CANCELLED.
typedef int (*diskimg_problem_fn)(void *user, int kind, uint64_t file_offset, const char *message);

// What a check found. Begin with DISKIMG_CHECK_RESULT_INIT.
typedef struct diskimg_check_result {
    // sizeof(diskimg_check_result).
    size_t struct_size;
    // Problems that make guest bytes wrong or unreadable.
    uint64_t corruptions;
    // Units of the file that nothing uses.
    uint64_t leaks;
    // Units (clusters, grains, blocks) of the disk; 0 if not counted, as the next.
    uint64_t total_units;
    // Of these, how many have data of their own.
    uint64_t allocated_units;
    // Of the allocated ones, how many are compressed.
    uint64_t compressed_units;
    // Of the allocated ones, how many do not lie right behind the one before.
    uint64_t fragmented_units;
    // Byte offset behind the last unit in use; 0 if not known.
    uint64_t image_end;
} diskimg_check_result;

// Done.
#define DISKIMG_OK 0

// A null pointer, an unknown flag or number, a wrong struct_size, an option that cannot be meant.
#define DISKIMG_ERR_INVALID_ARGUMENT 1

// The system or a callback failed: diskimg_error_os_code() has its errno.
#define DISKIMG_ERR_IO 2

// The caller stopped it: a progress or problem callback, or diskimg_cancel_trigger().
#define DISKIMG_ERR_CANCELLED 3

// No format is recognised, and raw was not asked for.
#define DISKIMG_ERR_UNKNOWN_FORMAT 4

// Valid, but a version, feature or format that this build cannot do.
#define DISKIMG_ERR_UNSUPPORTED 5

// The image contradicts itself or its specification.
#define DISKIMG_ERR_CORRUPT 6

// The image ends before something it promises.
#define DISKIMG_ERR_TRUNCATED 7

// A limit of the caller or of the library stopped it.
#define DISKIMG_ERR_LIMIT 8

// The image names another file, and may not have it.
#define DISKIMG_ERR_REFERENCE 9

// The content is encrypted.
#define DISKIMG_ERR_ENCRYPTED 10

// The bytes are valid as more than one format.
#define DISKIMG_ERR_AMBIGUOUS 11

// The range lies past the end of the disk.
#define DISKIMG_ERR_OUT_OF_BOUNDS 12

// The source or target is a stream, and the work has to go back.
#define DISKIMG_ERR_NEEDS_SEEK 13

// The target exists, and DISKIMG_CONVERT_OVERWRITE is not given.
#define DISKIMG_ERR_EXISTS 14

// A bug of the library, caught. The handle is poisoned: every later call with it fails the same way; close it.
#define DISKIMG_ERR_INTERNAL 99

// Recognise the format by its bytes; as a target, raw.
#define DISKIMG_FORMAT_AUTO 0

// A plain disk, ISO 9660 and UDF among them.
#define DISKIMG_FORMAT_RAW 1

// qcow2, versions 2 and 3.
#define DISKIMG_FORMAT_QCOW2 2

// VMDK.
#define DISKIMG_FORMAT_VMDK 3

// VDI.
#define DISKIMG_FORMAT_VDI 4

// Not at all.
#define DISKIMG_WRAPPER_NONE 0

// gzip.
#define DISKIMG_WRAPPER_GZIP 1

// xz.
#define DISKIMG_WRAPPER_XZ 2

// Zstandard.
#define DISKIMG_WRAPPER_ZSTD 3

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the library at run time: major << 16 | minor << 8 | patch. Before 1.0 another minor version is
// another ABI, and has another SONAME. Any thread.
DISKIMG_API uint32_t diskimg_version_number(void);

// Version of the library at run time in words, such as "0.1.0". Static: never free it. Any thread.
DISKIMG_API const char *diskimg_version_string(void);

// The name of a status, such as "corrupt"; "unknown" for a number that is none. Static, never NULL. Any
// thread.
DISKIMG_API const char *diskimg_status_name(diskimg_status status);

// The name of a format, such as "qcow2"; NULL for DISKIMG_FORMAT_AUTO and what is no format. Static. Any
// thread.
DISKIMG_API const char *diskimg_format_name(diskimg_format format);

// The format of a name, such as "qcow2" ("iso" is raw); DISKIMG_FORMAT_AUTO for what is none, and for NULL. Any
// thread.
DISKIMG_API
diskimg_format diskimg_format_by_name(const char *name);

// What this build can do with a format: bits of DISKIMG_CAN_*; 0 for what it does not have. Any thread.
DISKIMG_API uint32_t diskimg_format_caps(diskimg_format format);

// The status that the failed function returned; DISKIMG_OK for NULL.
DISKIMG_API diskimg_status diskimg_error_status(const struct diskimg_error *error);

// The errno of the system or of a callback, such as ENOSPC; 0 if there is none.
DISKIMG_API int diskimg_error_os_code(const struct diskimg_error *error);

// What went wrong in one line of UTF-8 without a full stop, with all causes: format, field, byte offset, what
// was found and what was expected. Names taken from an image are escaped. Lives as long as the error; ""
// for NULL, never NULL.
DISKIMG_API const char *diskimg_error_message(const struct diskimg_error *error);

// What the caller could do about it, in words; NULL if that is not known. Lives as long as the error.
DISKIMG_API const char *diskimg_error_hint(const struct diskimg_error *error);

// Whether it is known where in the image file the error lies; then the byte offset is stored in *file_offset,
// which may be NULL.
DISKIMG_API bool diskimg_error_offset(const struct diskimg_error *error, uint64_t *file_offset);

// Whether it is known which byte of the guest's disk was wanted; then its offset is stored in *guest_offset,
// which may be NULL.
DISKIMG_API bool diskimg_error_guest_offset(const struct diskimg_error *error, uint64_t *guest_offset);

// Frees an error. NULL is fine.
DISKIMG_API void diskimg_error_free(struct diskimg_error *error);

// Frees a string that a function of this library gave away. NULL is fine.
DISKIMG_API void diskimg_string_free(char *string);

// Opens the image in a file or block device, and what lies below it as the options allow. Writes nothing. On
// success `*out` is the caller's, to be closed with diskimg_close(); on failure it is NULL. `options` may be
// NULL, and is not needed any more when the call returns, but for what its callbacks need.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_open_path(const char *path,
                                 const struct diskimg_open_options *options,
                                 struct diskimg_image **out,
                                 struct diskimg_error **err);

// Opens the image in a file that is open for reading. The descriptor is duplicated and stays the caller's; its
// position is neither used nor moved. Otherwise as diskimg_open_path().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_open_fd(int fd,
                               const struct diskimg_open_options *options,
                               struct diskimg_image **out,
                               struct diskimg_error **err);

// Opens the image in `len` bytes of memory, which have to stay there unchanged until the handle is closed.
// Otherwise as diskimg_open_path().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_open_memory(const void *data,
                                   size_t len,
                                   const struct diskimg_open_options *options,
                                   struct diskimg_image **out,
                                   struct diskimg_error **err);

// Opens the image in a file of the caller's own. `*io` is copied. Its close is called once the file is not needed any
// more: when the image is closed, or before, and also when this fails. Otherwise as diskimg_open_path().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_open_io(const struct diskimg_io *io,
                               const struct diskimg_open_options *options,
                               struct diskimg_image **out,
                               struct diskimg_error **err);

// Closes an image, and all files that were opened for it. No other call may be using it. NULL is fine.
DISKIMG_API void diskimg_close(struct diskimg_image *image);

// Size in bytes of the disk that is read: that of the snapshot, if one was opened; with DISKIMG_OPEN_INFO_ONLY that
// which the image claims. 0 for NULL.
DISKIMG_API
uint64_t diskimg_size(const struct diskimg_image *image);

// Fills `*info` with what the image claims. Its `struct_size` has to be set.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_get_info(const struct diskimg_image *image,
                                struct diskimg_info *info,
                                struct diskimg_error **err);

// Stores in `*json` what the image claims in the shape that `qemu-img info --output=json` has, with our
// additions under "diskimg". `filename` is shown as the image's name; NULL for the path it was opened by. The
// string is the caller's, to be freed with diskimg_string_free(); NULL on failure.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_info_json(const struct diskimg_image *image,
                                 const char *filename,
                                 char **json,
                                 struct diskimg_error **err);

// How many names the image has that point outside it; 0 for NULL.
DISKIMG_API size_t diskimg_reference_count(const struct diskimg_image *image);

// Fills `*out` with the name of this index, from 0. Its `struct_size` has to be set.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_get_reference(const struct diskimg_image *image,
                                     size_t index,
                                     struct diskimg_reference *out,
                                     struct diskimg_error **err);

// How many internal snapshots the image lists; 0 for NULL.
DISKIMG_API size_t diskimg_snapshot_count(const struct diskimg_image *image);

// Fills `*out` with the snapshot of this index, from 0. Its `struct_size` has to be set. To read one, open the
// image with its id or name.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_get_snapshot(const struct diskimg_image *image,
                                    size_t index,
                                    struct diskimg_snapshot *out,
                                    struct diskimg_error **err);

// How many findings there are about the image; 0 for NULL.
DISKIMG_API size_t diskimg_finding_count(const struct diskimg_image *image);

// Fills `*out` with the finding of this index, from 0. Its `struct_size` has to be set.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_get_finding(const struct diskimg_image *image,
                                   size_t index,
                                   struct diskimg_finding *out,
                                   struct diskimg_error **err);

// A new probe. Of `options`, which may be NULL, format, flags and limits matter. On success `*out` is the caller's,
// to be freed with diskimg_probe_free(); on failure it is NULL.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_probe_new(const struct diskimg_open_options *options,
                                 struct diskimg_probe **out,
                                 struct diskimg_error **err);

// Takes the next `len` bytes of the stream; where they are cut changes nothing. Stores one of DISKIMG_PROBE_* in
// `*state`, which may be NULL. What is wrong with the bytes is told by diskimg_probe_finish().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_probe_push(struct diskimg_probe *probe,
                                  const void *chunk,
                                  size_t len,
                                  uint32_t *state,
                                  struct diskimg_error **err);

// Fills `*info` with what is known so far: from DISKIMG_PROBE_FORMAT on format and wrapper, and the size as soon as
// it is final (DISKIMG_INFO_SIZE_KNOWN); DISKIMG_ERR_UNKNOWN_FORMAT while nothing is. Its `struct_size` has to be set;
// its strings live as long as the probe.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_probe_info(struct diskimg_probe *probe,
                                  struct diskimg_info *info,
                                  struct diskimg_error **err);

// Stores in `*json` what diskimg_probe_info() tells, and the names, snapshots and findings, in the shape of
// diskimg_info_json(); "virtual-size" is absent while it is not known, and lists may be incomplete before
// DISKIMG_PROBE_DONE or diskimg_probe_finish(). `filename` is shown as the image's name; NULL for "-". The string is
// the caller's, to be freed with diskimg_string_free(); NULL on failure.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_probe_info_json(struct diskimg_probe *probe,
                                       const char *filename,
                                       char **json,
                                       struct diskimg_error **err);

// The stream has ended: fills `*info`, which may be NULL, with what is known. Whoever stops before the end calls
// diskimg_probe_info() instead, unless the state is DISKIMG_PROBE_DONE. The virtual size of a raw disk is the number
// of bytes pushed, or decoded of what was pushed. A second call tells the same, and so does diskimg_probe_info(), also
// what is wrong.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_probe_finish(struct diskimg_probe *probe,
                                    struct diskimg_info *info,
                                    struct diskimg_error **err);

// Frees a probe. NULL is fine.
DISKIMG_API void diskimg_probe_free(struct diskimg_probe *probe);

// Reads up to `len` bytes at `offset` of the disk into `buf`: fewer only at the end of the disk, none at it and
// behind. Stores in `*nread` how many; where nobody wants to know (NULL), a range that ends behind the disk is
// DISKIMG_ERR_OUT_OF_BOUNDS. After a failure `buf` holds nothing to rely on.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_pread(const struct diskimg_image *image,
                             void *buf,
                             size_t len,
                             uint64_t offset,
                             size_t *nread,
                             struct diskimg_error **err);

// Fills `out` with the runs of `len` bytes at `offset`, in ascending order and without gaps, as long as there is
// room for `cap` of them, at least one, and stores in `*count` how many. Go on where the last one ended. Reads tables
// only as far as it gets. DISKIMG_ERR_OUT_OF_BOUNDS for a range that ends behind the disk.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_extents(const struct diskimg_image *image,
                               uint64_t offset,
                               uint64_t len,
                               struct diskimg_extent *out,
                               size_t cap,
                               size_t *count,
                               struct diskimg_error **err);

// A new flag, not triggered; to be freed with diskimg_cancel_free(). Never NULL.
DISKIMG_API struct diskimg_cancel *diskimg_cancel_new(void);

// Stops every call that was given this flag, soon. One atomic store: may be called from any thread, and from a
// signal handler. NULL is fine.
DISKIMG_API
void diskimg_cancel_trigger(const struct diskimg_cancel *cancel);

// Frees a flag that no call uses any more. NULL is fine.
DISKIMG_API void diskimg_cancel_free(struct diskimg_cancel *cancel);

// Copies the disk into a file of the format that the options name. A new file appears when it is whole, and on
// disk, or not at all; a block device is written in place. `options` and `result` may be NULL. Worker threads
// end before it returns.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_to_path(const struct diskimg_image *image,
                                       const char *path,
                                       const struct diskimg_convert_options *options,
                                       struct diskimg_convert_result *result,
                                       struct diskimg_error **err);

// Copies the disk into a file or block device that is open for reading and writing: a file that is not empty is
// emptied first, unless DISKIMG_CONVERT_TARGET_IS_ZERO says otherwise. A pipe or socket gets what
// diskimg_convert_to_stream() writes. The descriptor stays the caller's. After a failure the file holds what was
// written so far. Otherwise as diskimg_convert_to_path().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_to_fd(const struct diskimg_image *image,
                                     int fd,
                                     const struct diskimg_convert_options *options,
                                     struct diskimg_convert_result *result,
                                     struct diskimg_error **err);

// Copies the disk into a file of the caller's own, by `pwrite` and what else it has. For an image format the
// file has to be empty. `*io` is copied; its close is called before this returns. Otherwise as
// diskimg_convert_to_fd().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_to_io(const struct diskimg_image *image,
                                     const struct diskimg_io *io,
                                     const struct diskimg_convert_options *options,
                                     struct diskimg_convert_result *result,
                                     struct diskimg_error **err);

// Writes the disk into a stream, from the first byte to the last: raw, or as a format that never goes back, a
// streamOptimized VMDK; DISKIMG_ERR_NEEDS_SEEK for others. Otherwise as diskimg_convert_to_path().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_to_stream(const struct diskimg_image *image,
                                         diskimg_write_fn write,
                                         void *user,
                                         const struct diskimg_convert_options *options,
                                         struct diskimg_convert_result *result,
                                         struct diskimg_error **err);

// Converts an image that arrives once, in order. Where its format and the target allow (a raw disk, compressed or
// not, into raw, for one) it is converted as it comes; else it is kept in an anonymous temporary file first, as
// `open_options` allow, and `progress` is told of the bytes that came. Of an OVA the disk in it is converted; with
// several there is no target. `read` is called from a thread of the library or from the caller's. Otherwise as
// diskimg_convert_to_path(), and of its options threads and memory matter where the image is kept.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_stream_to_path(diskimg_read_fn read,
                                              void *read_user,
                                              const struct diskimg_open_options *open_options,
                                              const char *path,
                                              const struct diskimg_convert_options *options,
                                              struct diskimg_convert_result *result,
                                              struct diskimg_error **err);

// As diskimg_convert_stream_to_path(), into what diskimg_convert_to_fd() takes.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_stream_to_fd(diskimg_read_fn read,
                                            void *read_user,
                                            const struct diskimg_open_options *open_options,
                                            int fd,
                                            const struct diskimg_convert_options *options,
                                            struct diskimg_convert_result *result,
                                            struct diskimg_error **err);

// As diskimg_convert_stream_to_path(), into what diskimg_convert_to_io() takes.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_stream_to_io(diskimg_read_fn read,
                                            void *read_user,
                                            const struct diskimg_open_options *open_options,
                                            const struct diskimg_io *io,
                                            const struct diskimg_convert_options *options,
                                            struct diskimg_convert_result *result,
                                            struct diskimg_error **err);

// As diskimg_convert_stream_to_path(), into what diskimg_convert_to_stream() takes.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_convert_stream_to_stream(diskimg_read_fn read,
                                                void *read_user,
                                                const struct diskimg_open_options *open_options,
                                                diskimg_write_fn write,
                                                void *write_user,
                                                const struct diskimg_convert_options *options,
                                                struct diskimg_convert_result *result,
                                                struct diskimg_error **err);

// Measures the file that diskimg_convert_to_path() would make with these options, which may be NULL: `*required` bytes
// at most as the disk is now, `*fully_allocated` when all of it is written; either may be NULL. Where it makes several
// files, that is their sum, with names that follow from "disk.vmdk". Numbers of raw and qcow2 are those of
// `qemu-img measure`. Reads no data. DISKIMG_ERR_UNSUPPORTED for a format that cannot be written.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_measure(const struct diskimg_image *image,
                               const struct diskimg_convert_options *options,
                               uint64_t *required,
                               uint64_t *fully_allocated,
                               struct diskimg_error **err);

// Begins a new disk of `virtual_size` bytes in a file, as the options say; progress and cancel are not used. The
// file appears with diskimg_finish(). On success `*out` is the caller's, to be freed with diskimg_writer_free();
// on failure it is NULL. `options` may be NULL.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_create_path(const char *path,
                                   uint64_t virtual_size,
                                   const struct diskimg_convert_options *options,
                                   struct diskimg_writer **out,
                                   struct diskimg_error **err);

// As diskimg_create_path(), in what diskimg_convert_to_fd() takes.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_create_fd(int fd,
                                 uint64_t virtual_size,
                                 const struct diskimg_convert_options *options,
                                 struct diskimg_writer **out,
                                 struct diskimg_error **err);

// As diskimg_create_path(), in what diskimg_convert_to_io() takes; its close is called when the writer is
// finished or freed, and also when this fails.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_create_io(const struct diskimg_io *io,
                                 uint64_t virtual_size,
                                 const struct diskimg_convert_options *options,
                                 struct diskimg_writer **out,
                                 struct diskimg_error **err);

// Writes all `len` bytes at `offset` of the disk. Any number of threads may write different ranges at once. With
// DISKIMG_CONVERT_COMPRESS a unit that comes whole in one call is compressed, and cannot be written again
// (DISKIMG_ERR_INVALID_ARGUMENT); a part of one is stored as it is, as often as you like. A streamOptimized VMDK takes
// ascending offsets alone (DISKIMG_ERR_NEEDS_SEEK), and compresses whatever comes. DISKIMG_ERR_OUT_OF_BOUNDS for a range
// that ends behind the disk.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_write(const struct diskimg_writer *writer,
                             const void *buf,
                             size_t len,
                             uint64_t offset,
                             struct diskimg_error **err);

// Makes `len` bytes at `offset` of the disk read as zeros; cheap where nothing was written yet. Otherwise as
// diskimg_write().
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_write_zeroes(const struct diskimg_writer *writer,
                                    uint64_t offset,
                                    uint64_t len,
                                    struct diskimg_error **err);

// Completes the disk: the image is valid, and there, from here on. No other call may be using the writer. It can
// only be freed afterwards, also after a failure, which leaves no valid image.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_finish(struct diskimg_writer *writer,
                              struct diskimg_error **err);

// Frees a writer. One that is not finished leaves nothing behind at a path, and no valid image elsewhere. NULL is
// fine.
DISKIMG_API
void diskimg_writer_free(struct diskimg_writer *writer);

// Checks the structure of the image, not of what lies below it. What it finds is no failure: look at `*result`.
// `problem` is told of the first thousand problems, in the end; it, `cancel` and `result` may be NULL.
// DISKIMG_ERR_UNSUPPORTED where the format has nothing to check, or this build cannot: see DISKIMG_CAN_CHECK.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_check(const struct diskimg_image *image,
                             diskimg_problem_fn problem,
                             void *user,
                             const struct diskimg_cancel *cancel,
                             struct diskimg_check_result *result,
                             struct diskimg_error **err);

// Compares two disks as a guest would see them, on all cores. `*same` tells whether the bytes are the same, where
// a disk that is shorter counts as zeros behind its end; if not, `*first_difference`, which may be NULL, is the
// offset of the first byte that differs, and UINT64_MAX otherwise. `cancel` may be NULL.
DISKIMG_API
DISKIMG_MUST_USE
diskimg_status diskimg_compare(const struct diskimg_image *a,
                               const struct diskimg_image *b,
                               const struct diskimg_cancel *cancel,
                               bool *same,
                               uint64_t *first_difference,
                               struct diskimg_error **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DISKIMG_H */
