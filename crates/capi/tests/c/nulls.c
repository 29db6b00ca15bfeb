/* Every function with NULL in every pointer position returns a status, never crashes, and clears its
 * results. Arguments: the images of the repository, and a scratch directory. SYMBOLS names the list of exported
 * functions. */
#include "targets.h"

static char image_path[4096], target_path[4096];
/* An image to read, and images with a reference, a snapshot and a finding. */
static diskimg_image *image, *referring, *snapshotted, *dirty;
static memory image_file;
static unsigned nulls;

/* The pointer at this position of the call, or NULL if this position is under test. */
#define P(position, pointer) ((nulls >> (position) & 1) != 0 ? NULL : (pointer))

/* The same for a result with an old value, which a failure must clear. */
#define OUT(position, result, before) ((nulls >> (position) & 1) != 0 ? NULL : ((result) = (before), &(result)))
#define UNSET ((void *)(uintptr_t)1)

/* The names of the functions called so far. */
static const char *called[200];
static size_t called_count;

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

/* Prepares a call: options and room for results. */
#define CALL(name)                                                         \
    static diskimg_status try_##name(void) {                               \
        diskimg_open_options open_options = DISKIMG_OPEN_OPTIONS_INIT;     \
        diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;    \
        diskimg_convert_result result = DISKIMG_CONVERT_RESULT_INIT;       \
        diskimg_check_result check_result = DISKIMG_CHECK_RESULT_INIT;     \
        diskimg_info info = DISKIMG_INFO_INIT;                             \
        diskimg_cancel *cancel = diskimg_cancel_new();                     \
        diskimg_io file = io();                                            \
        diskimg_target target = DISKIMG_TARGET_INIT;                       \
        diskimg_stream stream = DISKIMG_STREAM_INIT;                       \
        diskimg_image *opened = NULL;                                      \
        diskimg_probe *probe = NULL;                                       \
        diskimg_writer *writer = NULL;                                     \
        diskimg_error *error = NULL;                                       \
        diskimg_status status;                                             \
        char *text = NULL;                                                 \
        unsigned char buf[64];                                             \
        size_t count = 0;                                                  \
        uint64_t number = 0, full = 0, first = UINT64_MAX;                 \
        uint32_t state = 0;                                                \
        bool same = false;                                                 \
        int fd = -1;                                                       \
        options.flags = DISKIMG_CONVERT_OVERWRITE | DISKIMG_CONVERT_NO_SYNC; \
        open_options.flags = DISKIMG_OPEN_ALLOW_RAW;                       \
        memset(buf, 0, sizeof buf);

#define END                                                                                \
        (void)result, (void)check_result, (void)info, (void)file, (void)count, (void)number; \
        (void)target, (void)stream, (void)state, (void)same, (void)full, (void)first, (void)open_options, (void)options; \
        CHECK(status == DISKIMG_OK || opened == NULL);                                     \
        CHECK(status == DISKIMG_OK || text == NULL);                                       \
        CHECK(status == DISKIMG_OK || (count == 0 && number == 0 && full == 0));         \
        CHECK(status == DISKIMG_OK || (state == 0 && !same));                              \
        CHECK(status == DISKIMG_OK || first == UINT64_MAX);                                \
        CHECK((probe != UNSET) & (writer != UNSET));                                       \
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

CALL(open_path) status = diskimg_open_path(P(0, image_path), P(1, &open_options), OUT(2, opened, UNSET), P(3, &error)); END
CALL(open_fd)
    fd = open(image_path, O_RDONLY | O_CLOEXEC);
    status = diskimg_open_fd(fd, P(0, &open_options), OUT(1, opened, UNSET), P(2, &error));
END
CALL(open_memory)
    status = diskimg_open_memory(P(0, image_file.bytes), image_file.length, P(1, &open_options), OUT(2, opened, UNSET),
                                 P(3, &error));
END
CALL(open_io) status = diskimg_open_io(P(0, &file), P(1, &open_options), OUT(2, opened, UNSET), P(3, &error)); END
CALL(get_info) status = diskimg_get_info(P(0, image), P(1, &info), P(2, &error)); END
CALL(info_json) status = diskimg_info_json(P(0, image), P(1, "name"), OUT(2, text, UNSET), P(3, &error)); END
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
CALL(probe_new) status = diskimg_probe_new(P(0, &open_options), OUT(1, probe, UNSET), P(2, &error)); END
CALL(probe_push)
    CHECK(diskimg_probe_new(NULL, &probe, NULL) == DISKIMG_OK);
    status = diskimg_probe_push(P(0, probe), P(1, buf), sizeof buf, OUT(2, state, 7), P(3, &error));
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
    CHECK(diskimg_probe_finish(probe, NULL, NULL) == DISKIMG_OK);
    status = diskimg_probe_info_json(P(0, probe), P(1, "name"), OUT(2, text, UNSET), P(3, &error));
END
CALL(probe_finish)
    CHECK(diskimg_probe_new(&open_options, &probe, NULL) == DISKIMG_OK);
    CHECK(diskimg_probe_push(probe, image_file.bytes, image_file.length, NULL, NULL) == DISKIMG_OK);
    status = diskimg_probe_finish(P(0, probe), P(1, &info), P(2, &error));
END
CALL(pread) status = diskimg_pread(P(0, image), P(1, buf), sizeof buf, 0, OUT(2, count, 7), P(3, &error)); END
CALL(extents)
    diskimg_extent runs[2];
    status = diskimg_extents(P(0, image), 0, 1000, P(1, runs), 2, OUT(2, count, 7), P(3, &error));
END
CALL(convert)
    target.path = P(2, target_path);
    status = diskimg_convert(P(0, image), P(1, &target), P(3, &options), P(4, &result), P(5, &error));
    unlink(target_path);
END
CALL(convert_to_fd)
    target.fd = fd = spare_fd();
    status = diskimg_convert(P(0, image), P(1, &target), P(2, &options), P(3, &result), P(4, &error));
    unlink(target_path);
END
CALL(convert_to_io)
    target.io = P(2, &file);
    status = diskimg_convert(P(0, image), P(1, &target), P(3, &options), P(4, &result), P(5, &error));
END
CALL(convert_to_stream)
    target.write = P(2, quiet_write);
    target.write_user = P(3, &file);
    status = diskimg_convert(P(0, image), P(1, &target), P(4, &options), P(5, &result), P(6, &error));
END
CALL(convert_stream)
    target.path = P(4, target_path);
    stream.read = P(1, quiet_read);
    stream.read_user = fresh();
    status = diskimg_convert_stream(P(0, &stream), P(2, &open_options), P(3, &target), P(5, &options), P(6, &result),
                                    P(7, &error));
    unlink(target_path);
END
CALL(convert_stream_to_io)
    target.io = P(4, &file);
    stream.read = P(1, quiet_read);
    stream.read_user = fresh();
    status = diskimg_convert_stream(P(0, &stream), P(2, &open_options), P(3, &target), P(5, &options), P(6, &result),
                                    P(7, &error));
END
CALL(measure)
    status = diskimg_measure(P(0, image), P(1, &options), OUT(2, number, 7), OUT(3, full, 7), P(4, &error));
END
CALL(create)
    target.path = P(1, target_path);
    status = diskimg_create(P(0, &target), 4096, P(2, &options), OUT(3, writer, UNSET), P(4, &error));
END
CALL(create_io)
    target.io = P(1, &file);
    status = diskimg_create(P(0, &target), 4096, P(2, &options), OUT(3, writer, UNSET), P(4, &error));
END
CALL(write)
    CHECK(create_path(target_path, 4096, NULL, &writer, NULL) == DISKIMG_OK);
    status = diskimg_write(P(0, writer), P(1, buf), sizeof buf, 0, P(2, &error));
END
CALL(write_zeroes)
    CHECK(create_path(target_path, 4096, NULL, &writer, NULL) == DISKIMG_OK);
    status = diskimg_write_zeroes(P(0, writer), 0, 100, P(1, &error));
END
CALL(finish)
    CHECK(create_path(target_path, 4096, &options, &writer, NULL) == DISKIMG_OK);
    status = diskimg_finish(P(0, writer), P(1, &error));
    unlink(target_path);
END
CALL(check)
    diskimg_check_options checking = DISKIMG_CHECK_OPTIONS_INIT;
    checking.problem = P(2, quiet_problem);
    checking.problem_user = P(3, &file);
    checking.cancel = P(4, cancel);
    status = diskimg_check(P(0, image), P(1, &checking), P(5, &check_result), P(6, &error));
    /* A build without checks returns this status. */
    status = status == DISKIMG_ERR_UNSUPPORTED ? DISKIMG_OK : status;
END
CALL(compare)
    diskimg_compare_options comparing = DISKIMG_COMPARE_OPTIONS_INIT;
    comparing.cancel = P(3, cancel);
    status = diskimg_compare(P(0, image), P(1, image), P(2, &comparing), OUT(4, same, true), OUT(5, first, 7),
                             P(6, &error));
END
CALL(get_setting)
    diskimg_setting setting = DISKIMG_SETTING_INIT;
    status = diskimg_get_setting(DISKIMG_FORMAT_RAW, 0, P(0, &setting), P(1, &error));
END
CALL(get_limit)
    diskimg_limit limit = DISKIMG_LIMIT_INIT;
    status = diskimg_get_limit(0, P(0, &limit), P(1, &error));
END
/* Calls a function that cannot fail, and records its name. */
#define FINE(name, arguments, then)            \
    do {                                       \
        called[called_count++] = "diskimg_" #name; \
        CHECK(diskimg_##name arguments then);  \
    } while (0)
#define FREES(name) (called[called_count++] = "diskimg_" #name, diskimg_##name(NULL))

/* Functions that cannot fail: they accept NULL and every number, and return zero or an empty result. */
static void infallible_functions_accept_null_and_any_number(void) {
    FINE(error_status, (NULL), == DISKIMG_OK);
    FINE(error_os_code, (NULL), == 0);
    FINE(error_message, (NULL), [0] == '\0');
    FINE(error_hint, (NULL), == NULL);
    FINE(error_format, (NULL), == NULL);
    FINE(error_limit, (NULL), == NULL);
    FINE(error_fault, (NULL), == DISKIMG_FAULT_UNKNOWN);
    FINE(error_offset, (NULL, NULL), == false);
    FINE(error_guest_offset, (NULL, NULL), == false);
    FINE(size, (NULL), == 0);
    FINE(reference_count, (NULL), == 0);
    FINE(snapshot_count, (NULL), == 0);
    FINE(finding_count, (NULL), == 0);
    FINE(format_by_name, (NULL), == DISKIMG_FORMAT_AUTO);
    FINE(format_name, (UINT32_MAX), == NULL);
    FINE(format_caps, (UINT32_MAX), == 0);
    FINE(setting_count, (UINT32_MAX), == 0);
    FINE(limit_count, (), > 0);
    FINE(status_name, (INT32_MIN), != NULL);
    FINE(version_number, (), > 0);
    FINE(version_string, (), [0] != '\0');
    called[called_count++] = "diskimg_cancel_new"; /* by each of the calls above */
    FREES(cancel_trigger);
    FREES(error_free);
    FREES(string_free);
    FREES(close);
    FREES(probe_free);
    FREES(writer_free);
    FREES(cancel_free);
}

/* Checks each line of the list of exported symbols: a new function needs a row here. */
static void every_exported_function_is_called(const char *list) {
    FILE *symbols = fopen(list, "r");
    char line[200];
    size_t lines = 0, i;

    CHECK(symbols != NULL);
    for (; fgets(line, sizeof line, symbols) != NULL; lines++) {
        line[strcspn(line, "\n")] = '\0';
        for (i = 0; i < called_count && strcmp(called[i], line) != 0; i++) {
        }
        if (i == called_count) {
            fprintf(stderr, "%s is never called with NULL\n", line);
            exit(1);
        }
    }
    CHECK(lines == called_count);
    fclose(symbols);
}

#define ROW(name, pointers, optional) {"diskimg_" #name, try_##name, pointers, optional, false}
/* A call of the function of an earlier row. */
#define VARIANT(name, call, pointers, optional) {"diskimg_" #name, try_##call, pointers, optional, true}
static const struct {
    const char *name;
    diskimg_status (*call)(void);
    int pointers;
    unsigned optional; /* bits of the positions that may be NULL */
    bool is_variant;
} calls[] = {
    ROW(open_path, 4, 0xa),
    ROW(open_fd, 3, 0x5),
    ROW(open_memory, 4, 0xa),
    ROW(open_io, 4, 0xa),
    ROW(get_info, 3, 0x4),
    ROW(info_json, 4, 0xa),
    ROW(get_reference, 3, 0x4),
    ROW(get_snapshot, 3, 0x4),
    ROW(get_finding, 3, 0x4),
    ROW(probe_new, 3, 0x5),
    ROW(probe_push, 4, 0xc),
    ROW(probe_info, 3, 0x4),
    ROW(probe_info_json, 4, 0xa),
    ROW(probe_finish, 3, 0x6),
    ROW(pread, 4, 0xc),
    ROW(extents, 4, 0x8),
    ROW(convert, 6, 0x38),
    VARIANT(convert, convert_to_fd, 5, 0x1c),
    VARIANT(convert, convert_to_io, 6, 0x38),
    VARIANT(convert, convert_to_stream, 7, 0x78),
    ROW(convert_stream, 8, 0xe4),
    VARIANT(convert_stream, convert_stream_to_io, 8, 0xe4),
    ROW(measure, 5, 0x1e),
    ROW(create, 5, 0x14),
    VARIANT(create, create_io, 5, 0x14),
    ROW(write, 3, 0x4),
    ROW(write_zeroes, 2, 0x2),
    ROW(finish, 2, 0x2),
    ROW(check, 7, 0x7e),
    ROW(compare, 7, 0x6c),
    ROW(get_setting, 2, 0x2),
    ROW(get_limit, 2, 0x2),
};

static void null_in_every_position_returns_a_status(void) {
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
        CHECK(calls[i].call() == DISKIMG_ERR_INVALID_ARGUMENT);
        if (!calls[i].is_variant) {
            called[called_count++] = calls[i].name;
        }
    }
    nulls = 0;
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
    CHECK(argc == 3 && getenv("SYMBOLS") != NULL);
    snprintf(image_path, sizeof image_path, "%s/good/v3.qcow2", argv[1]);
    snprintf(target_path, sizeof target_path, "%s/nulls", argv[2]);
    image_file = load(argv[1], "good/v3.qcow2");
    GIVES(DISKIMG_OK, diskimg_open_path(image_path, NULL, &image, &error));
    referring = look_at(argv[1], "chain-top.qcow2");
    snapshotted = look_at(argv[1], "snapshots.qcow2");
    dirty = look_at(argv[1], "dirty.qcow2");
    null_in_every_position_returns_a_status();
    infallible_functions_accept_null_and_any_number();
    every_exported_function_is_called(getenv("SYMBOLS"));
    diskimg_close(image);
    diskimg_close(referring);
    diskimg_close(snapshotted);
    diskimg_close(dirty);
    free(image_file.bytes);
    return 0;
}
