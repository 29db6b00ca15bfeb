/* Every function with NULL in every pointer position, and what else cannot be meant: an answer, never a crash.
 * Arguments: the images of the repository, and a directory to write in. */
#include "test.h"

static char image_path[4096], target_path[4096];
/* One to read, and ones with a reference, a snapshot and a finding. */
static diskimg_image *image, *referring, *snapshotted, *dirty;
static memory image_file;
static unsigned nulls;

/* The pointer at this position of the call, unless it is NULL's turn. */
#define P(position, pointer) ((nulls >> (position) & 1) != 0 ? NULL : (pointer))

static int quiet_read(void *user, void *buf, size_t len, size_t *nread) {
    memory *file = user;
    *nread = 0;
    if (file != NULL) {
        size_t left = file->length - (size_t)file->calls;
        *nread = len < left ? len : left;
        memcpy(buf, file->bytes + file->calls, *nread);
        file->calls += (int)*nread;
    }
    return 0;
}

static int quiet_write(void *user, const void *buf, size_t len) {
    (void)user, (void)buf, (void)len;
    return 0;
}

static int quiet_pwrite(void *user, const void *buf, size_t len, uint64_t offset) {
    (void)user, (void)buf, (void)len, (void)offset;
    return 0;
}

static int quiet_problem(void *user, int kind, uint64_t offset, const char *message) {
    (void)user, (void)kind, (void)offset, (void)message;
    return 0;
}

static memory *fresh(void) {
    image_file.calls = 0;
    return &image_file;
}

static diskimg_io io(void) {
    diskimg_io io = memory_io(&image_file);
    io.pwrite = quiet_pwrite;
    io.set_size = NULL;
    return io;
}

static int spare_fd(void) {
    int fd = open(target_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    return fd;
}

/* Begins a call: options and room for results. */
#define CALL(name)                                                         \
    static diskimg_status try_##name(void) {                               \
        diskimg_open_options open_options = DISKIMG_OPEN_OPTIONS_INIT;     \
        diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;    \
        diskimg_convert_result result = DISKIMG_CONVERT_RESULT_INIT;       \
        diskimg_check_result check_result = DISKIMG_CHECK_RESULT_INIT;     \
        diskimg_info info = DISKIMG_INFO_INIT;                             \
        diskimg_cancel *cancel = diskimg_cancel_new();                     \
        diskimg_io file = io();                                            \
        diskimg_image *opened = NULL;                                      \
        diskimg_probe *probe = NULL;                                       \
        diskimg_writer *writer = NULL;                                     \
        diskimg_error *error = NULL;                                       \
        diskimg_status status;                                             \
        char *text = NULL;                                                 \
        unsigned char buf[64];                                             \
        size_t count = 0;                                                  \
        uint64_t number = 0;                                               \
        uint32_t state = 0;                                                \
        bool same = false;                                                 \
        int fd = -1;                                                       \
        options.flags = DISKIMG_CONVERT_OVERWRITE | DISKIMG_CONVERT_NO_SYNC; \
        open_options.flags = DISKIMG_OPEN_ALLOW_RAW;                       \
        memset(buf, 0, sizeof buf);

#define END                                                                                \
        (void)result, (void)check_result, (void)info, (void)file, (void)count, (void)number; \
        (void)state, (void)same, (void)open_options, (void)options;                        \
        CHECK((status == DISKIMG_OK) || opened == NULL);                                   \
        diskimg_close(opened);                                                             \
        diskimg_probe_free(probe);                                                         \
        diskimg_writer_free(writer);                                                       \
        diskimg_error_free(error);                                                         \
        diskimg_string_free(text);                                                         \
        diskimg_cancel_free(cancel);                                                       \
        if (fd >= 0) {                                                                     \
            close(fd);                                                                     \
        }                                                                                  \
        return status;                                                                     \
    }

CALL(open_path) status = diskimg_open_path(P(0, image_path), P(1, &open_options), P(2, &opened), P(3, &error)); END
CALL(open_fd)
    fd = open(image_path, O_RDONLY | O_CLOEXEC);
    status = diskimg_open_fd(fd, P(0, &open_options), P(1, &opened), P(2, &error));
END
CALL(open_memory)
    status = diskimg_open_memory(P(0, image_file.bytes), image_file.length, P(1, &open_options), P(2, &opened),
                                 P(3, &error));
END
CALL(open_io) status = diskimg_open_io(P(0, &file), P(1, &open_options), P(2, &opened), P(3, &error)); END
CALL(get_info) status = diskimg_get_info(P(0, image), P(1, &info), P(2, &error)); END
CALL(info_json) status = diskimg_info_json(P(0, image), P(1, "name"), P(2, &text), P(3, &error)); END
CALL(get_reference)
    diskimg_reference reference = DISKIMG_REFERENCE_INIT;
    status = diskimg_get_reference(P(0, referring), 0, P(1, &reference), P(2, &error));
END
CALL(get_snapshot)
    diskimg_snapshot snapshot = DISKIMG_SNAPSHOT_INIT;
    status = diskimg_get_snapshot(P(0, snapshotted), 0, P(1, &snapshot), P(2, &error));
END
CALL(get_finding)
    diskimg_finding finding = DISKIMG_FINDING_INIT;
    status = diskimg_get_finding(P(0, dirty), 0, P(1, &finding), P(2, &error));
END
CALL(probe_new) status = diskimg_probe_new(P(0, &open_options), P(1, &probe), P(2, &error)); END
CALL(probe_push)
    CHECK(diskimg_probe_new(NULL, &probe, NULL) == DISKIMG_OK);
    status = diskimg_probe_push(P(0, probe), P(1, buf), sizeof buf, P(2, &state), P(3, &error));
END
CALL(probe_info)
    CHECK(diskimg_probe_new(&open_options, &probe, NULL) == DISKIMG_OK);
    CHECK(diskimg_probe_push(probe, image_file.bytes, image_file.length, NULL, NULL) == DISKIMG_OK);
    CHECK(diskimg_probe_finish(probe, NULL, NULL) == DISKIMG_OK);
    status = diskimg_probe_info(P(0, probe), P(1, &info), P(2, &error));
END
CALL(probe_info_json)
    CHECK(diskimg_probe_new(&open_options, &probe, NULL) == DISKIMG_OK);
    CHECK(diskimg_probe_push(probe, image_file.bytes, image_file.length, NULL, NULL) == DISKIMG_OK);
    status = diskimg_probe_info_json(P(0, probe), P(1, "name"), P(2, &text), P(3, &error));
END
CALL(probe_finish)
    CHECK(diskimg_probe_new(&open_options, &probe, NULL) == DISKIMG_OK);
    CHECK(diskimg_probe_push(probe, image_file.bytes, image_file.length, NULL, NULL) == DISKIMG_OK);
    status = diskimg_probe_finish(P(0, probe), P(1, &info), P(2, &error));
END
CALL(pread) status = diskimg_pread(P(0, image), P(1, buf), sizeof buf, 0, P(2, &count), P(3, &error)); END
CALL(extents)
    diskimg_extent runs[2];
    status = diskimg_extents(P(0, image), 0, 1000, P(1, runs), 2, P(2, &count), P(3, &error));
END
CALL(convert_to_path)
    status = diskimg_convert_to_path(P(0, image), P(1, target_path), P(2, &options), P(3, &result), P(4, &error));
    unlink(target_path);
END
CALL(convert_to_fd)
    fd = spare_fd();
    status = diskimg_convert_to_fd(P(0, image), fd, P(1, &options), P(2, &result), P(3, &error));
    unlink(target_path);
END
CALL(convert_to_io)
    status = diskimg_convert_to_io(P(0, image), P(1, &file), P(2, &options), P(3, &result), P(4, &error));
END
CALL(convert_to_stream)
    status = diskimg_convert_to_stream(P(0, image), P(1, quiet_write), P(2, &file), P(3, &options), P(4, &result),
                                       P(5, &error));
END
CALL(convert_stream_to_path)
    status = diskimg_convert_stream_to_path(P(0, quiet_read), fresh(), P(1, &open_options), P(2, target_path),
                                            P(3, &options), P(4, &result), P(5, &error));
    unlink(target_path);
END
CALL(convert_stream_to_fd)
    fd = spare_fd();
    status = diskimg_convert_stream_to_fd(P(0, quiet_read), fresh(), P(1, &open_options), fd, P(2, &options),
                                          P(3, &result), P(4, &error));
    unlink(target_path);
END
CALL(convert_stream_to_io)
    status = diskimg_convert_stream_to_io(P(0, quiet_read), fresh(), P(1, &open_options), P(2, &file), P(3, &options),
                                          P(4, &result), P(5, &error));
END
CALL(convert_stream_to_stream)
    status = diskimg_convert_stream_to_stream(P(0, quiet_read), fresh(), P(1, &open_options), P(2, quiet_write),
                                              P(3, &file), P(4, &options), P(5, &result), P(6, &error));
END
CALL(measure)
    status = diskimg_measure(P(0, image), P(1, &options), P(2, &number), P(3, &number), P(4, &error));
END
CALL(create_path)
    status = diskimg_create_path(P(0, target_path), 4096, P(1, &options), P(2, &writer), P(3, &error));
END
CALL(create_fd)
    fd = spare_fd();
    status = diskimg_create_fd(fd, 4096, P(0, &options), P(1, &writer), P(2, &error));
    unlink(target_path);
END
CALL(create_io) status = diskimg_create_io(P(0, &file), 4096, P(1, &options), P(2, &writer), P(3, &error)); END
CALL(write)
    CHECK(diskimg_create_path(target_path, 4096, NULL, &writer, NULL) == DISKIMG_OK);
    status = diskimg_write(P(0, writer), P(1, buf), sizeof buf, 0, P(2, &error));
END
CALL(write_zeroes)
    CHECK(diskimg_create_path(target_path, 4096, NULL, &writer, NULL) == DISKIMG_OK);
    status = diskimg_write_zeroes(P(0, writer), 0, 100, P(1, &error));
END
CALL(finish)
    CHECK(diskimg_create_path(target_path, 4096, &options, &writer, NULL) == DISKIMG_OK);
    status = diskimg_finish(P(0, writer), P(1, &error));
    unlink(target_path);
END
CALL(check)
    status = diskimg_check(P(0, image), P(1, quiet_problem), P(2, &count), P(3, cancel), P(4, &check_result),
                           P(5, &error));
    /* A build that cannot check says so, and no more. */
    status = status == DISKIMG_ERR_UNSUPPORTED ? DISKIMG_OK : status;
END
CALL(compare)
    status = diskimg_compare(P(0, image), P(1, image), P(2, cancel), P(3, &same), P(4, &number), P(5, &error));
END
CALL(others)
    /* Nothing to fail with: NULL is fine everywhere, and the zero or empty answer. */
    CHECK(diskimg_error_status(NULL) == DISKIMG_OK && diskimg_error_os_code(NULL) == 0);
    CHECK(diskimg_error_message(NULL)[0] == '\0' && diskimg_error_hint(NULL) == NULL);
    CHECK(!diskimg_error_offset(NULL, P(0, &number)) && !diskimg_error_guest_offset(NULL, P(0, &number)));
    CHECK(diskimg_format_by_name(NULL) == DISKIMG_FORMAT_AUTO && diskimg_size(NULL) == 0);
    CHECK(diskimg_reference_count(NULL) == 0 && diskimg_snapshot_count(NULL) == 0);
    CHECK(diskimg_finding_count(NULL) == 0);
    diskimg_error_free(NULL);
    diskimg_string_free(NULL);
    diskimg_close(NULL);
    diskimg_probe_free(NULL);
    diskimg_writer_free(NULL);
    diskimg_cancel_trigger(NULL);
    diskimg_cancel_free(NULL);
    status = DISKIMG_OK;
END

static const struct {
    const char *name;
    diskimg_status (*call)(void);
    int pointers;
    unsigned optional; /* bits of the positions that may be NULL */
} calls[] = {
    {"open_path", try_open_path, 4, 0xa},
    {"open_fd", try_open_fd, 3, 0x5},
    {"open_memory", try_open_memory, 4, 0xa},
    {"open_io", try_open_io, 4, 0xa},
    {"get_info", try_get_info, 3, 0x4},
    {"info_json", try_info_json, 4, 0xa},
    {"get_reference", try_get_reference, 3, 0x4},
    {"get_snapshot", try_get_snapshot, 3, 0x4},
    {"get_finding", try_get_finding, 3, 0x4},
    {"probe_new", try_probe_new, 3, 0x5},
    {"probe_push", try_probe_push, 4, 0xc},
    {"probe_info", try_probe_info, 3, 0x4},
    {"probe_info_json", try_probe_info_json, 4, 0xa},
    {"probe_finish", try_probe_finish, 3, 0x6},
    {"pread", try_pread, 4, 0xc},
    {"extents", try_extents, 4, 0x8},
    {"convert_to_path", try_convert_to_path, 5, 0x1c},
    {"convert_to_fd", try_convert_to_fd, 4, 0xe},
    {"convert_to_io", try_convert_to_io, 5, 0x1c},
    {"convert_to_stream", try_convert_to_stream, 6, 0x3c},
    {"convert_stream_to_path", try_convert_stream_to_path, 6, 0x3a},
    {"convert_stream_to_fd", try_convert_stream_to_fd, 5, 0x1e},
    {"convert_stream_to_io", try_convert_stream_to_io, 6, 0x3a},
    {"convert_stream_to_stream", try_convert_stream_to_stream, 7, 0x7a},
    {"measure", try_measure, 5, 0x1e},
    {"create_path", try_create_path, 4, 0xa},
    {"create_fd", try_create_fd, 3, 0x5},
    {"create_io", try_create_io, 4, 0xa},
    {"write", try_write, 3, 0x4},
    {"write_zeroes", try_write_zeroes, 2, 0x2},
    {"finish", try_finish, 2, 0x2},
    {"check", try_check, 6, 0x3e},
    {"compare", try_compare, 6, 0x34},
    {"others", try_others, 1, 0x1},
};

static void null_in_every_position_is_an_answer(void) {
    size_t i;
    int position;

    for (i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        for (position = -1; position < calls[i].pointers; position++) {
            diskimg_status status, expected = DISKIMG_OK;
            nulls = position < 0 ? 0 : 1u << position;
            if ((nulls & ~calls[i].optional) != 0) {
                expected = DISKIMG_ERR_INVALID_ARGUMENT;
            }
            status = calls[i].call();
            if (status != expected) {
                fprintf(stderr, "%s with NULL at %d: %s\n", calls[i].name, position, diskimg_status_name(status));
                exit(1);
            }
        }
        nulls = ~0u;
        CHECK(calls[i].call() == DISKIMG_ERR_INVALID_ARGUMENT || calls[i].call == try_others);
    }
    nulls = 0;
}

static void structures_have_the_size_they_say(void) {
    struct { diskimg_open_options known; uint64_t later; } newer = {DISKIMG_OPEN_OPTIONS_INIT, 0};
    struct { diskimg_info known; uint64_t later; } info = {DISKIMG_INFO_INIT, 77};
    static const size_t sizes[] = {0, 1, 7, 5000, SIZE_MAX};
    diskimg_image *opened;
    size_t i;

    newer.known.struct_size = sizeof newer;
    GIVES(DISKIMG_OK, diskimg_open_path(image_path, &newer.known, &opened, &error));
    diskimg_close(opened);
    newer.later = 1;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &newer.known, &opened, &error));
    CHECK(opened == NULL);
    info.known.struct_size = sizeof info;
    GIVES(DISKIMG_OK, diskimg_get_info(image, &info.known, &error));
    CHECK(info.later == 0 && info.known.virtual_size > 0);
    for (i = 0; i < 5; i++) {
        diskimg_io file = memory_io(&image_file);
        diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
        newer.known.struct_size = file.struct_size = options.struct_size = info.known.struct_size = sizes[i];
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &newer.known, &opened, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_io(&file, NULL, &opened, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_convert_to_path(image, target_path, &options, NULL, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_get_info(image, &info.known, &error));
    }
}

static void numbers_that_mean_nothing_are_refused(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options convert = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *opened;
    diskimg_extent run;
    diskimg_io file = io();
    unsigned char byte;
    size_t count;
    int closed = image_file.closed, pipe_ends[2];

    options.flags = 1u << 31;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &options, &opened, &error));
    options.flags = 0;
    options.format = 1000;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &options, &opened, &error));
    options.format = 0;
    options.max_virtual_size = 1;
    GIVES(DISKIMG_ERR_LIMIT, diskimg_open_path(image_path, &options, &opened, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_fd(-1, NULL, &opened, &error));
    GIVES(DISKIMG_ERR_IO, diskimg_open_fd(12345, NULL, &opened, &error));
    CHECK(pipe(pipe_ends) == 0);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_fd(pipe_ends[0], NULL, &opened, &error));
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path("/", NULL, &opened, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_memory(&byte, SIZE_MAX, NULL, &opened, &error));
    file.flags = 1u << 31;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_io(&file, NULL, &opened, &error));
    CHECK(image_file.closed == closed + 1);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_pread(image, &byte, SIZE_MAX, 0, NULL, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_extents(image, 0, 1, &run, 0, &count, &error));
    GIVES(DISKIMG_ERR_OUT_OF_BOUNDS, diskimg_extents(image, UINT64_MAX, UINT64_MAX, &run, 1, &count, &error));
    convert.sparse_size = 1000;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_convert_to_path(image, target_path, &convert, NULL, &error));
    convert.sparse_size = 0;
    convert.preallocation = 9;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_convert_to_path(image, target_path, &convert, NULL, &error));
    convert.preallocation = 0;
    convert.settings = "no such setting";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_convert_to_path(image, target_path, &convert, NULL, &error));
    convert.settings = "\xff=1";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_convert_to_path(image, target_path, &convert, NULL, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_convert_to_fd(image, -1, NULL, NULL, &error));
    CHECK(access(target_path, F_OK) != 0);
}

static diskimg_image *look_at(const char *directory, const char *name) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *looked_at;
    char path[4096];

    options.flags = DISKIMG_OPEN_INFO_ONLY;
    snprintf(path, sizeof path, "%s/good/%s", directory, name);
    GIVES(DISKIMG_OK, diskimg_open_path(path, &options, &looked_at, &error));
    return looked_at;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    snprintf(image_path, sizeof image_path, "%s/good/v3.qcow2", argv[1]);
    snprintf(target_path, sizeof target_path, "%s/misuse", argv[2]);
    image_file = load(argv[1], "good/v3.qcow2");
    GIVES(DISKIMG_OK, diskimg_open_path(image_path, NULL, &image, &error));
    referring = look_at(argv[1], "chain-top.qcow2");
    snapshotted = look_at(argv[1], "snapshots.qcow2");
    dirty = look_at(argv[1], "dirty.qcow2");
    null_in_every_position_is_an_answer();
    structures_have_the_size_they_say();
    numbers_that_mean_nothing_are_refused();
    diskimg_close(image);
    diskimg_close(referring);
    diskimg_close(snapshotted);
    diskimg_close(dirty);
    free(image_file.bytes);
    return 0;
}
