#include "shim.h"
#include "_cgo_export.h"

static _Thread_local uintptr_t current;

/* Callbacks of files. */

static int on_pread(void *user, void *buf, size_t len, uint64_t offset, size_t *nread) {
    return goDiskimgPread((uintptr_t)user, current, buf, len, offset, nread);
}

static int on_size(void *user, uint64_t *bytes) { return goDiskimgSize((uintptr_t)user, bytes); }

static int on_next_data(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    return goDiskimgNextData((uintptr_t)user, current, offset, start, end);
}

static int on_pwrite(void *user, const void *buf, size_t len, uint64_t offset) {
    return goDiskimgPwrite((uintptr_t)user, current, (void *)buf, len, offset);
}

static int on_zero(void *user, uint64_t offset, uint64_t len) {
    return goDiskimgZero((uintptr_t)user, current, offset, len);
}

static int on_set_size(void *user, uint64_t bytes) { return goDiskimgSetSize((uintptr_t)user, current, bytes); }

static int on_flush(void *user) { return goDiskimgFlush((uintptr_t)user, current); }

static void on_close(void *user) { goDiskimgClose((uintptr_t)user, current); }

void godiskimg_fill_io(diskimg_io *io, uintptr_t file, uint32_t functions) {
    diskimg_io filled = DISKIMG_IO_INIT;
    filled.user = (void *)file;
    filled.close = on_close;
    if (functions & GODISKIMG_READ) filled.pread = on_pread, filled.size = on_size;
    if (functions & GODISKIMG_NEXT_DATA) filled.next_data = on_next_data;
    if (functions & GODISKIMG_WRITE) filled.pwrite = on_pwrite;
    if (functions & GODISKIMG_ZERO) filled.zero = on_zero;
    if (functions & GODISKIMG_SET_SIZE) filled.set_size = on_set_size;
    if (functions & GODISKIMG_FLUSH) filled.flush = on_flush;
    *io = filled;
}

/* Callbacks of images. */

static int on_resolve(void *user, uint32_t role, const char *name, diskimg_io *out) {
    return goDiskimgResolve((uintptr_t)user, current, role, (char *)name, out);
}

static void on_log(void *user, int level, const char *message) {
    goDiskimgLog((uintptr_t)user, current, level, (char *)message);
}

/* Callbacks of calls. */

static int on_open_progress(void *user, uint64_t done, uint64_t total) {
    return goDiskimgOpenProgress((uintptr_t)user, done, total);
}

static int on_progress(void *user, uint64_t done, uint64_t total) {
    return goDiskimgProgress((uintptr_t)user, done, total);
}

static int on_problem(void *user, int kind, uint64_t file_offset, const char *message) {
    return goDiskimgProblem((uintptr_t)user, kind, file_offset, (char *)message);
}

static int on_read(void *user, void *buf, size_t len, size_t *nread) {
    return goDiskimgRead((uintptr_t)user, buf, len, nread);
}

static int on_write(void *user, const void *buf, size_t len) {
    return goDiskimgWrite((uintptr_t)user, (void *)buf, len);
}

/* Structures. */

#define INIT(name, kind, value) \
    void name(kind *it) { \
        const kind initial = value; \
        *it = initial; \
    }
INIT(godiskimg_init_open, diskimg_open_options, DISKIMG_OPEN_OPTIONS_INIT)
INIT(godiskimg_init_convert, diskimg_convert_options, DISKIMG_CONVERT_OPTIONS_INIT)
INIT(godiskimg_init_target, diskimg_target, DISKIMG_TARGET_INIT)
INIT(godiskimg_init_compare, diskimg_compare_options, DISKIMG_COMPARE_OPTIONS_INIT)
INIT(godiskimg_init_parent, diskimg_parent, DISKIMG_PARENT_INIT)

#define EMPTY(name, kind, value) \
    kind name(void) { \
        const kind initial = value; \
        return initial; \
    }
EMPTY(godiskimg_empty_info, diskimg_info, DISKIMG_INFO_INIT)
EMPTY(godiskimg_empty_reference, diskimg_reference, DISKIMG_REFERENCE_INIT)
EMPTY(godiskimg_empty_snapshot, diskimg_snapshot, DISKIMG_SNAPSHOT_INIT)
EMPTY(godiskimg_empty_finding, diskimg_finding, DISKIMG_FINDING_INIT)
EMPTY(godiskimg_empty_setting, diskimg_setting, DISKIMG_SETTING_INIT)
EMPTY(godiskimg_empty_limit, diskimg_limit, DISKIMG_LIMIT_INIT)
EMPTY(godiskimg_empty_convert_result, diskimg_convert_result, DISKIMG_CONVERT_RESULT_INIT)
EMPTY(godiskimg_empty_check_result, diskimg_check_result, DISKIMG_CHECK_RESULT_INIT)

void godiskimg_set_open_progress(diskimg_open_options *options, uintptr_t call) {
    options->progress = on_open_progress;
    options->progress_user = (void *)call;
}

void godiskimg_set_resolve(diskimg_open_options *options, uintptr_t files) {
    options->resolve = on_resolve;
    options->resolve_user = (void *)files;
}

void godiskimg_set_log(diskimg_open_options *options, uintptr_t files) {
    options->log = on_log;
    options->log_user = (void *)files;
}

void godiskimg_set_convert_progress(diskimg_convert_options *options, uintptr_t call) {
    options->progress = on_progress;
    options->progress_user = (void *)call;
}

void godiskimg_set_target_write(diskimg_target *target, uintptr_t call) {
    target->write = on_write;
    target->write_user = (void *)call;
}

void godiskimg_init_stream(diskimg_stream *stream, uintptr_t call, uint64_t length) {
    const diskimg_stream initial = DISKIMG_STREAM_INIT;
    *stream = initial;
    stream->read = on_read;
    stream->read_user = (void *)call;
    stream->length = length;
}

void godiskimg_init_check(diskimg_check_options *options, uintptr_t call) {
    const diskimg_check_options initial = DISKIMG_CHECK_OPTIONS_INIT;
    *options = initial;
    options->problem = on_problem;
    options->problem_user = (void *)call;
}

void godiskimg_set_check_progress(diskimg_check_options *options, uintptr_t call) {
    options->progress = on_progress;
    options->progress_user = (void *)call;
}

void godiskimg_set_compare_progress(diskimg_compare_options *options, uintptr_t call) {
    options->progress = on_progress;
    options->progress_user = (void *)call;
}

/* Calls. */

#define DURING(call, expression) \
    uintptr_t outer = current; \
    current = call; \
    diskimg_status status = expression; \
    current = outer; \
    return status

diskimg_status godiskimg_open_path(uintptr_t call, const char *path, const diskimg_open_options *options,
                                   diskimg_image **out, diskimg_error **err) {
    DURING(call, diskimg_open_path(path, options, out, err));
}

diskimg_status godiskimg_open_fd(uintptr_t call, int fd, const diskimg_open_options *options, diskimg_image **out,
                                 diskimg_error **err) {
    DURING(call, diskimg_open_fd(fd, options, out, err));
}

diskimg_status godiskimg_open_memory(uintptr_t call, const void *data, size_t len, const diskimg_open_options *options,
                                     diskimg_image **out, diskimg_error **err) {
    DURING(call, diskimg_open_memory(data, len, options, out, err));
}

diskimg_status godiskimg_open_io(uintptr_t call, const diskimg_io *io, const diskimg_open_options *options,
                                 diskimg_image **out, diskimg_error **err) {
    DURING(call, diskimg_open_io(io, options, out, err));
}

diskimg_status godiskimg_extents(uintptr_t call, const diskimg_image *image, uint64_t offset, uint64_t len,
                                 diskimg_extent *out, size_t cap, size_t *count, diskimg_error **err) {
    DURING(call, diskimg_extents(image, offset, len, out, cap, count, err));
}

diskimg_status godiskimg_convert(uintptr_t call, const diskimg_image *image, const diskimg_target *target,
                                 const diskimg_convert_options *options, diskimg_convert_result *result,
                                 diskimg_error **err) {
    DURING(call, diskimg_convert(image, target, options, result, err));
}

diskimg_status godiskimg_convert_stream(uintptr_t call, const diskimg_stream *stream, const diskimg_open_options *open,
                                        const diskimg_target *target, const diskimg_convert_options *options,
                                        diskimg_convert_result *result, diskimg_error **err) {
    DURING(call, diskimg_convert_stream(stream, open, target, options, result, err));
}

diskimg_status godiskimg_measure(uintptr_t call, const diskimg_image *image, const diskimg_convert_options *options,
                                 uint64_t *required, uint64_t *fully_allocated, diskimg_error **err) {
    DURING(call, diskimg_measure(image, options, required, fully_allocated, err));
}

diskimg_status godiskimg_check(uintptr_t call, const diskimg_image *image, const diskimg_check_options *options,
                               diskimg_check_result *result, diskimg_error **err) {
    DURING(call, diskimg_check(image, options, result, err));
}

diskimg_status godiskimg_compare(uintptr_t call, const diskimg_image *a, const diskimg_image *b,
                                 const diskimg_compare_options *options, bool *same, uint64_t *first_difference,
                                 diskimg_error **err) {
    DURING(call, diskimg_compare(a, b, options, same, first_difference, err));
}

diskimg_status godiskimg_create(uintptr_t call, const diskimg_target *target, uint64_t virtual_size,
                                const diskimg_convert_options *options, diskimg_writer **out, diskimg_error **err) {
    DURING(call, diskimg_create(target, virtual_size, options, out, err));
}

diskimg_status godiskimg_write(uintptr_t call, const diskimg_writer *writer, const void *buf, size_t len,
                               uint64_t offset, diskimg_error **err) {
    DURING(call, diskimg_write(writer, buf, len, offset, err));
}

diskimg_status godiskimg_write_zeroes(uintptr_t call, const diskimg_writer *writer, uint64_t offset, uint64_t len,
                                      diskimg_error **err) {
    DURING(call, diskimg_write_zeroes(writer, offset, len, err));
}

diskimg_status godiskimg_finish(uintptr_t call, diskimg_writer *writer, diskimg_error **err) {
    DURING(call, diskimg_finish(writer, err));
}

godiskimg_read godiskimg_pread(uintptr_t call, const diskimg_image *image, void *buf, size_t len, uint64_t offset) {
    godiskimg_read result = {NULL, 0, DISKIMG_OK};
    uintptr_t outer = current;
    current = call;
    result.status = diskimg_pread(image, buf, len, offset, &result.count, &result.error);
    current = outer;
    return result;
}
