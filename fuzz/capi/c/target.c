/* Targets: conversions to callbacks, descriptors, paths and streams, and disks written in parts. */
#include "harness.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Includes tables and blocks of the largest disk. */
#define LONGEST (4 * (size_t)LARGEST)

diskimg_convert_options converting(const steps *how) {
    static const char *const settings[] = {
        NULL, "cluster_size=512", "cluster_size=4k,compression_type=zstd", "subformat=streamOptimized",
        "static=on", "preallocation=full,nocow", "no such setting", "\xff=1",
    };
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    options.format = how->target % 8;
    options.flags = DISKIMG_CONVERT_NO_SYNC;
    options.flags |= how->target & 8 ? DISKIMG_CONVERT_COMPRESS : 0;
    options.flags |= how->target & 16 ? DISKIMG_CONVERT_NO_SPARSE : 0;
    options.flags |= how->target & 32 ? DISKIMG_CONVERT_TARGET_IS_ZERO : 0;
    options.threads = how->mode & 128 ? 2 : 1;
    options.max_memory = 1 << 20;
    options.settings = settings[how->offset[1] % 8];
    return options;
}

stopper stopping(const steps *how) {
    stopper made = {0, how->stop_at, 0, 0, 0, pthread_self()};
    return made;
}

int stop(void *user, uint64_t done, uint64_t total) {
    stopper *state = user;
    MUST(pthread_equal(state->thread, pthread_self()));
    MUST(!state->stopped && (state->calls > 0 || done == 0));
    MUST(done >= state->last && (total == 0 || done <= total));
    state->last = done;
    state->ended = total != 0 && done == total;
    state->stopped = ++state->calls == state->stop_at;
    return state->stopped;
}

void check_stopped(const stopper *state, diskimg_status status) {
    /* It is too late to cancel at the end. */
    MUST(!state->stopped || status != DISKIMG_OK || state->ended || state->last == 0);
    MUST(state->stopped || status != DISKIMG_ERR_CANCELLED);
}

static void same_disk(const diskimg_image *image, const void *data, size_t length, diskimg_format format) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *copy;
    diskimg_status status;
    uint64_t first = 0;
    bool same = false;

    if (length == 0) {
        return; /* an empty file is not an image */
    }
    options.format = format == DISKIMG_FORMAT_AUTO ? DISKIMG_FORMAT_RAW : format;
    options.flags = DISKIMG_OPEN_NO_UNWRAP;
    OPEN(status, copy, diskimg_open_memory(data, length, &options, &copy, &error));
    MUST(status == DISKIMG_OK);
    TRY(status, diskimg_compare(image, copy, NULL, &same, &first, &error));
    MUST(status == DISKIMG_OK && same && first == UINT64_MAX);
    diskimg_close(copy);
}

static void convert_to_callbacks(const diskimg_image *image, const steps *how, int steady) {
    diskimg_convert_options options = converting(how);
    size_t said = odd_size(how, sizeof(diskimg_convert_result));
    room result = new_record(sizeof(diskimg_convert_result), said), given;
    file target = target_file(LONGEST, how->target_fault, how->target_fault_at);
    diskimg_io io = io_of(&target, how);
    diskimg_target into = DISKIMG_TARGET_INIT;
    stopper state = stopping(how);
    diskimg_status status;
    int valid;

    options.progress = stop;
    options.progress_user = &state;
    given = odd_copy(how, &options, sizeof options, &valid);
    into.io = &io;
    TRY(status, diskimg_convert(image, &into, (const diskimg_convert_options *)given.bytes,
                                (diskimg_convert_result *)result.bytes, &error));
    MUST(valid || status == DISKIMG_ERR_INVALID_ARGUMENT);
    MUST(target.failed == 0 || status != DISKIMG_OK);
    MUST(target.failed <= 0 || status == DISKIMG_ERR_IO || options.threads > 1);
    check_record(&result, sizeof(diskimg_convert_result), said, status);
    check_stopped(&state, status);
    if (status == DISKIMG_OK && steady) {
        same_disk(image, target.bytes, (size_t)target.length, options.format);
    }
    end_file(&target);
    free_room(given);
    free_room(result);
}

static void convert_to_descriptor(const diskimg_image *image, const steps *how, int steady) {
    diskimg_convert_options options = converting(how);
    diskimg_target into = DISKIMG_TARGET_INIT;
    diskimg_status status;
    struct stat there;
    void *bytes;
    int fd = memfd_create("target", MFD_CLOEXEC);

    MUST(fd >= 0 && (how->target_fault == 0 || ftruncate(fd, how->target_fault * 100) == 0));
    options.flags &= ~(uint32_t)DISKIMG_CONVERT_TARGET_IS_ZERO;
    into.fd = fd;
    TRY(status, diskimg_convert(image, &into, &options, NULL, &error));
    MUST(fstat(fd, &there) == 0);
    if (status == DISKIMG_OK && steady && there.st_size > 0) {
        bytes = mmap(NULL, (size_t)there.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        MUST(bytes != MAP_FAILED);
        same_disk(image, bytes, (size_t)there.st_size, options.format);
        munmap(bytes, (size_t)there.st_size);
    }
    close(fd);
}

static void convert_to_new_path(const diskimg_image *image, const steps *how) {
    diskimg_convert_options options = converting(how);
    folder in = new_folder();
    diskimg_target into = DISKIMG_TARGET_INIT;
    stopper state = stopping(how);
    diskimg_status status, again;

    options.progress = stop;
    options.progress_user = &state;
    into.path = in.disk;
    TRY(status, diskimg_convert(image, &into, &options, NULL, &error));
    check_stopped(&state, status);
    if (status == DISKIMG_OK) {
        options.progress = NULL;
        TRY(again, diskimg_convert(image, &into, &options, NULL, &error));
        MUST(again == DISKIMG_ERR_EXISTS);
    }
    end_folder(&in, status);
}

typedef struct sink {
    uint64_t length;
    int calls, fail_at, failed;
} sink;

static int swallow(void *user, const void *buf, size_t len) {
    sink *to = user;
    MUST(buf != NULL && len > 0 && !to->failed);
    if (++to->calls == to->fail_at) {
        return to->failed = EPIPE;
    }
    to->length += len;
    return 0;
}

static void convert_to_pipe(const diskimg_image *image, const steps *how) {
    diskimg_convert_options options = converting(how);
    sink to = {0, 0, how->target_fault_at, 0};
    diskimg_target into = DISKIMG_TARGET_INIT;
    diskimg_status status;

    into.write = swallow;
    into.write_user = &to;
    TRY(status, diskimg_convert(image, &into, &options, NULL, &error));
    MUST(!to.failed || status == DISKIMG_ERR_IO);
    if (status == DISKIMG_OK && options.format <= DISKIMG_FORMAT_RAW) {
        MUST(to.length == diskimg_size(image));
    }
}

void convert_image(const diskimg_image *image, const steps *how, int steady) {
    switch (how->length % 4) {
    case 1:
        convert_to_descriptor(image, how, steady);
        break;
    case 2:
        convert_to_new_path(image, how);
        break;
    case 3:
        convert_to_pipe(image, how);
        break;
    default:
        convert_to_callbacks(image, how, steady);
    }
}

/* Makes the write that each six bytes describe. Returns true if all succeed. */
static int write_pieces(diskimg_writer *writer, const unsigned char *data, size_t length, room shadow) {
    diskimg_status status;
    int all = 1;

    for (; length >= 6; data += 6, length -= 6) {
        uint64_t offset = (data[1] + 256u * data[2]) * 64u + data[3];
        size_t len = data[4] + 256u * (data[5] & 63u);
        int inside = offset <= shadow.length && len <= shadow.length - offset;
        room piece = new_room(len);
        memset(piece.bytes, data[0] & 1 ? data[0] : 0, len);
        if (data[0] & 2) {
            TRY(status, diskimg_write_zeroes(writer, offset, len, &error));
            memset(piece.bytes, 0, len);
        } else {
            TRY(status, diskimg_write(writer, piece.bytes, len, offset, &error));
        }
        MUST(inside || status != DISKIMG_OK);
        if (status == DISKIMG_OK) {
            memcpy(shadow.bytes + offset, piece.bytes, len);
        }
        all &= status == DISKIMG_OK || status == DISKIMG_ERR_OUT_OF_BOUNDS;
        free_room(piece);
    }
    return all;
}

static void read_back(const file *target, const steps *how, room shadow) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    room whole = new_room(shadow.length);
    diskimg_image *image;
    diskimg_status status;

    if (target->length == 0) {
        free_room(whole);
        return; /* an empty file is not an image */
    }
    options.flags = DISKIMG_OPEN_NO_UNWRAP;
    options.format = how->target % 8 == DISKIMG_FORMAT_AUTO ? DISKIMG_FORMAT_RAW : how->target % 8;
    OPEN(status, image, diskimg_open_memory(target->bytes, (size_t)target->length, &options, &image, &error));
    MUST(status == DISKIMG_OK && diskimg_size(image) >= shadow.length);
    TRY(status, diskimg_pread(image, whole.bytes, whole.length, 0, NULL, &error));
    MUST(status == DISKIMG_OK && memcmp(whole.bytes, shadow.bytes, shadow.length) == 0);
    diskimg_close(image);
    free_room(whole);
}

void write_image(const steps *how, const unsigned char *data, size_t length) {
    diskimg_convert_options options = converting(how);
    uint64_t size = (how->step[0] + 256u * how->step[1]) * 64u;
    room shadow = new_room((size_t)size);
    file target = target_file(LONGEST, how->target_fault, how->target_fault_at);
    diskimg_io io = io_of(&target, how);
    diskimg_target into = DISKIMG_TARGET_INIT;
    diskimg_writer *writer;
    diskimg_status status;
    int all;

    memset(shadow.bytes, 0, shadow.length);
    /* TARGET_IS_ZERO requires that no range is written twice, which these writes may do. */
    options.flags &= ~(uint32_t)DISKIMG_CONVERT_TARGET_IS_ZERO;
    into.io = &io;
    OPEN(status, writer, diskimg_create(&into, size, &options, &writer, &error));
    if (status == DISKIMG_OK) {
        all = write_pieces(writer, data, length, shadow);
        if (how->stop_at == 0) {
            TRY(status, diskimg_finish(writer, &error));
            MUST(target.closed == 1 && (target.failed == 0 || !all || status != DISKIMG_OK));
            if (status == DISKIMG_OK && all) {
                read_back(&target, how, shadow);
            }
            TRY(status, diskimg_finish(writer, &error));
            MUST(status == DISKIMG_ERR_INVALID_ARGUMENT);
            TRY(status, diskimg_write(writer, &status, 1, 0, &error));
            MUST(status == DISKIMG_ERR_INVALID_ARGUMENT);
        }
        diskimg_writer_free(writer);
    }
    end_file(&target);
    free_room(shadow);
}
