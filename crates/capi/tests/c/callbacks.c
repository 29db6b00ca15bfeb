/* Callbacks that fail, read too little or too much, or cancel, at each of their calls. Arguments: the
 * images of the repository, and a scratch directory. */
#include "targets.h"

static memory source;
static char target_path[4096];

/* Opens an image, reads all of it and all its extents. Returns the first failure. */
static diskimg_status use_all(memory *file, diskimg_error **error) {
    diskimg_io io = memory_io(file);
    diskimg_image *image;
    diskimg_extent runs[16];
    static unsigned char all[8 << 20];
    size_t count, read;
    diskimg_status status = diskimg_open_io(&io, NULL, &image, error);

    if (status == DISKIMG_OK) {
        status = diskimg_pread(image, all, sizeof all, 0, &read, error);
    }
    if (status == DISKIMG_OK) {
        status = diskimg_extents(image, 0, diskimg_size(image), runs, 16, &count, error);
    }
    diskimg_close(image);
    return status;
}

static void source_failing_at_any_call_gives_its_errno_and_closes_once(void) {
    static const struct { int returned; diskimg_status status; int os_code; } failures[] = {
        {ENOSPC, DISKIMG_ERR_IO, ENOSPC},
        {EIO, DISKIMG_ERR_IO, EIO},
        {-7, DISKIMG_ERR_INVALID_ARGUMENT, 0},
    };
    diskimg_error *error;
    size_t i;
    int call, calls;

    source.calls = source.fail_at = 0;
    CHECK(use_all(&source, &error) == DISKIMG_OK);
    calls = source.calls;
    CHECK(calls > 3);
    for (i = 0; i < 3; i++) {
        for (call = 1; call <= calls; call++) {
            source.calls = source.closed = 0;
            source.fail_at = call;
            source.fail_with = failures[i].returned;
            CHECK(use_all(&source, &error) == failures[i].status);
            CHECK(diskimg_error_os_code(error) == failures[i].os_code);
            diskimg_error_free(error);
            CHECK(source.closed == 1);
        }
    }
    source.fail_at = 0;
}

static void short_reads_are_continued_and_long_reads_rejected(void) {
    source.one_byte = 1;
    GIVES(DISKIMG_OK, use_all(&source, &error));
    source.one_byte = 0;
    source.too_much = 1;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, use_all(&source, &error));
    source.too_much = 0;
    source.early_end = 1;
    GIVES(DISKIMG_ERR_TRUNCATED, use_all(&source, &error));
    source.early_end = 0;
}

static int backwards(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    (void)user;
    *start = 0;
    *end = offset / 2;
    return 0;
}

static int reversed(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    /* Begins within the file, and ends before its start. */
    (void)user;
    *start = offset + 100;
    *end = offset + 50;
    return 0;
}

static int nothing(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    (void)user;
    *start = *end = offset + 1;
    return 0;
}

static int no_data(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    (void)offset;
    *start = *end = ((memory *)user)->length;
    return 0;
}

/* The end is left as it was: there is no data. */
static int no_data_in_short(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    (void)offset, (void)end;
    *start = ((memory *)user)->length;
    return 0;
}

/* The bounds of all of the file, in the wrong order. They would make it a hole. */
static int swapped(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    (void)offset;
    *start = ((memory *)user)->length;
    *end = 0;
    return 0;
}

static int after_the_file(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    (void)offset;
    *start = ((memory *)user)->length + 1;
    *end = *start + 1;
    return 0;
}

/* Each call moves the data 100 bytes back, into what was a hole. */
static int moving(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    static uint64_t by;
    (void)user;
    if (offset == 0) {
        by = 0;
    }
    *start = (offset < 4000 ? 4000 : offset + 2000) - by;
    *end = *start + 500;
    by += 100;
    return 0;
}

/* Data at first, then a hole there. */
static int vanishing(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    *start = offset < 1000 ? offset : ((memory *)user)->length;
    *end = offset < 1000 ? 2000 : ((memory *)user)->length;
    return 0;
}

static int failing_with_a_negative_number(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    (void)user, (void)offset, (void)start, (void)end;
    return -1;
}

static int holes(void *user, uint64_t offset, uint64_t *start, uint64_t *end) {
    /* 1000 bytes of data at each multiple of 4000. */
    (void)user;
    *start = offset % 4000 < 1000 ? offset : offset / 4000 * 4000 + 4000;
    *end = *start / 4000 * 4000 + 1000;
    return 0;
}

static void holes_are_reported_and_invalid_ones_rejected(void) {
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_io io = memory_io(&source);
    diskimg_image *image;
    diskimg_extent runs[3];
    int (*const wrong[])(void *, uint64_t, uint64_t *, uint64_t *) = {
        backwards, reversed, nothing, swapped, after_the_file, failing_with_a_negative_number,
    };
    int (*const contradictory[])(void *, uint64_t, uint64_t *, uint64_t *) = {moving, vanishing};
    int (*const empty[])(void *, uint64_t, uint64_t *, uint64_t *) = {no_data, no_data_in_short};
    size_t count, i;

    raw.format = DISKIMG_FORMAT_RAW;
    io.next_data = holes;
    GIVES(DISKIMG_OK, diskimg_open_io(&io, &raw, &image, &error));
    GIVES(DISKIMG_OK, diskimg_extents(image, 500, 8000, runs, 3, &count, &error));
    CHECK(count == 3 && runs[0].length == 500 && (runs[0].flags & DISKIMG_EXTENT_DATA));
    CHECK(runs[1].length == 3000 && (runs[1].flags & DISKIMG_EXTENT_ZERO) && runs[2].length == 1000);
    diskimg_close(image);
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        io.next_data = wrong[i];
        GIVES(DISKIMG_OK, diskimg_open_io(&io, &raw, &image, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_extents(image, 500, 8000, runs, 3, &count, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, target_path, NULL, NULL, &error));
        CHECK(access(target_path, F_OK) != 0);
        diskimg_close(image);
    }
    for (i = 0; i < sizeof contradictory / sizeof *contradictory; i++) {
        io.next_data = contradictory[i];
        GIVES(DISKIMG_OK, diskimg_open_io(&io, &raw, &image, &error));
        GIVES(DISKIMG_OK, diskimg_extents(image, 0, 900, runs, 3, &count, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_extents(image, 1500, 2450, runs, 3, &count, &error));
        diskimg_close(image);
    }
    for (i = 0; i < sizeof empty / sizeof *empty; i++) {
        io.next_data = empty[i];
        GIVES(DISKIMG_OK, diskimg_open_io(&io, &raw, &image, &error));
        GIVES(DISKIMG_OK, diskimg_extents(image, 500, 8000, runs, 3, &count, &error));
        CHECK(count == 1 && runs[0].length == 8000 && (runs[0].flags & DISKIMG_EXTENT_ZERO));
        diskimg_close(image);
    }
}

static int huge_size(void *user, uint64_t *bytes) {
    (void)user;
    *bytes = UINT64_MAX;
    return 0;
}

/* What the callback resolve does. */
typedef enum wrong_answer { NOTHING, NEGATIVE, NO_PREAD, UNKNOWN_FLAG, RESERVED, HUGE_SIZE, ANSWERS } wrong_answer;
typedef struct resolver {
    wrong_answer answer;
    memory file;
} resolver;

static int resolve(void *user, uint32_t role, const char *name, diskimg_io *out) {
    resolver *state = user;
    CHECK(role == DISKIMG_ROLE_BACKING && name[0] != '\0' && out->struct_size == sizeof *out);
    if (state->answer == NOTHING) {
        return 0;
    }
    *out = memory_io(&state->file);
    if (state->answer == NEGATIVE) {
        memset(out, 0, sizeof *out);
        return -5;
    }
    out->pread = state->answer == NO_PREAD ? NULL : out->pread;
    out->flags = state->answer == UNKNOWN_FLAG ? 1u << 30 : 0;
    out->reserved = state->answer == RESERVED ? 7 : 0;
    out->size = state->answer == HUGE_SIZE ? huge_size : out->size;
    return 0;
}

static void invalid_answers_of_resolve_are_errors_and_closed_once(const char *images) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    memory top = load(images, "good/chain-top.qcow2");
    diskimg_image *image;
    resolver state;
    int answer;

    options.resolve = resolve;
    options.resolve_user = &state;
    for (answer = NOTHING; answer < ANSWERS; answer++) {
        state.answer = (wrong_answer)answer;
        state.file = new_memory();
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_memory(top.bytes, top.length, &options, &image, &error));
        CHECK(state.file.closed == (answer > NEGATIVE));
    }
    free(top.bytes);
}

static void target_failing_at_any_call_gives_its_errno_and_closes_once(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image;
    diskimg_io io;
    memory target;
    diskimg_error *error;
    int call, calls;

    options.threads = 2;
    GIVES(DISKIMG_OK, diskimg_open_memory(source.bytes, source.length, NULL, &image, &error));
    for (options.format = DISKIMG_FORMAT_RAW; options.format <= DISKIMG_FORMAT_QCOW2; options.format++) {
        target = new_memory();
        io = memory_io(&target);
        GIVES(DISKIMG_OK, convert_to_io(image, &io, &options, NULL, &error));
        calls = target.calls;
        free(target.bytes);
        CHECK(calls > 2);
        for (call = 1; call <= calls; call++) {
            target = new_memory();
            target.fail_at = call;
            target.fail_with = ENOSPC;
            io = memory_io(&target);
            CHECK(convert_to_io(image, &io, &options, NULL, &error) == DISKIMG_ERR_IO);
            CHECK(diskimg_error_os_code(error) == ENOSPC);
            diskimg_error_free(error);
            CHECK(target.closed == 1);
            free(target.bytes);
            target = new_memory();
            target.fail_at = call;
            target.fail_with = -7;
            io = memory_io(&target);
            GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_io(image, &io, &options, NULL, &error));
            free(target.bytes);
        }
    }
    diskimg_close(image);
}

typedef struct stopper {
    int calls, stop_at;
    uint64_t last;
    pthread_t thread;
    diskimg_cancel *cancel;
} stopper;

static int count_and_stop(void *user, uint64_t done, uint64_t total) {
    stopper *state = user;
    CHECK(pthread_equal(state->thread, pthread_self()));
    CHECK(done >= state->last && (total == 0 || done <= total));
    state->last = done;
    if (++state->calls == state->stop_at) {
        if (state->cancel == NULL) {
            return 1;
        }
        diskimg_cancel_trigger(state->cancel);
    }
    return 0;
}

static void conversion_stops_at_any_call_of_progress(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image;
    stopper state;
    int call, calls, how;

    GIVES(DISKIMG_OK, diskimg_open_memory(source.bytes, source.length, NULL, &image, &error));
    memset(&state, 0, sizeof state);
    state.thread = pthread_self();
    options.threads = 1;
    options.flags = DISKIMG_CONVERT_NO_SYNC;
    options.max_memory = 65536;
    options.progress = count_and_stop;
    options.progress_user = &state;
    unlink(target_path);
    GIVES(DISKIMG_OK, convert_to_path(image, target_path, &options, NULL, &error));
    CHECK(state.last == diskimg_size(image));
    unlink(target_path);
    calls = state.calls;
    CHECK(calls >= 3);
    for (how = 0; how < 2; how++) {
        /* The last call reports the end, when it is too late to cancel. */
        for (call = 1; call < calls - how; call++) {
            state.calls = 0;
            state.last = 0;
            state.stop_at = call;
            state.cancel = how == 0 ? NULL : diskimg_cancel_new();
            options.cancel = state.cancel;
            GIVES(DISKIMG_ERR_CANCELLED, convert_to_path(image, target_path, &options, NULL, &error));
            CHECK(access(target_path, F_OK) != 0);
            if (how == 1) {
                bool same;
                GIVES(DISKIMG_ERR_CANCELLED, compare_images(image, image, state.cancel, &same, NULL, &error));
                GIVES(DISKIMG_ERR_CANCELLED, check_image(image, NULL, NULL, state.cancel, NULL, &error));
            }
            diskimg_cancel_free(state.cancel);
        }
    }
    diskimg_close(image);
}

/* Reads a file, and triggers a flag at one of the calls. */
typedef struct tripwire {
    int calls, trip_at;
    diskimg_cancel *cancel;
} tripwire;

static int read_and_trip(void *user, void *buf, size_t len, uint64_t offset, size_t *nread) {
    tripwire *state = user;
    if (++state->calls == state->trip_at) {
        diskimg_cancel_trigger(state->cancel);
    }
    return memory_pread(&source, buf, len, offset, nread);
}

static int source_size_of(void *user, uint64_t *bytes) {
    (void)user;
    *bytes = source.length;
    return 0;
}

static void check_stops_at_the_read_that_triggers_the_flag(void) {
    diskimg_check_result result = DISKIMG_CHECK_RESULT_INIT;
    diskimg_io io = DISKIMG_IO_INIT;
    tripwire state = {0, 0, NULL};
    diskimg_image *image;
    int call, calls;

    io.user = &state;
    io.pread = read_and_trip;
    io.size = source_size_of;
    GIVES(DISKIMG_OK, diskimg_open_io(&io, NULL, &image, &error));
    state.calls = 0;
    GIVES(DISKIMG_OK, check_image(image, NULL, NULL, NULL, &result, &error));
    calls = state.calls;
    CHECK(calls >= 3);
    /* After the last read there may be nothing left to cancel. */
    for (call = 1; call < calls; call++) {
        state.calls = 0;
        state.trip_at = call;
        state.cancel = diskimg_cancel_new();
        GIVES(DISKIMG_ERR_CANCELLED, check_image(image, NULL, NULL, state.cancel, NULL, &error));
        CHECK(state.calls == call);
        diskimg_cancel_free(state.cancel);
    }
    diskimg_close(image);
}

/* A source stream that fails, or reads too much, at one of its calls. */
typedef struct stream {
    size_t at;
    int calls, fail_at, too_much;
} stream;

static int next(void *user, void *buf, size_t len, size_t *nread) {
    stream *from = user;
    size_t left = source.length - from->at;
    if (++from->calls == from->fail_at) {
        if (!from->too_much) {
            return ECONNRESET;
        }
        *nread = len + 1;
        return 0;
    }
    *nread = left < 5000 ? left : 5000;
    *nread = *nread < len ? *nread : len;
    memcpy(buf, source.bytes + from->at, *nread);
    from->at += *nread;
    return 0;
}

static int swallow(void *user, const void *buf, size_t len) {
    int *left = user;
    (void)buf, (void)len;
    return --*left == 0 ? EPIPE : 0;
}

static int negative(void *user, const void *buf, size_t len) {
    (void)user, (void)buf, (void)len;
    return -7;
}

static int next_negative(void *user, void *buf, size_t len, size_t *nread) {
    (void)user, (void)buf, (void)len, (void)nread;
    return -7;
}

static void streams_fail_at_any_call_with_their_errno(void) {
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *image;
    diskimg_error *error;
    stream from = {0, 0, 0, 0};
    int never = 0, left, call, calls;

    raw.format = DISKIMG_FORMAT_RAW;
    GIVES(DISKIMG_OK, convert_stream_to_stream(next, &from, &raw, swallow, &never, NULL, NULL, &error));
    calls = from.calls;
    for (call = 1; call <= calls; call++) {
        from.at = 0;
        from.calls = from.too_much = 0;
        from.fail_at = call;
        CHECK(convert_stream_to_stream(next, &from, &raw, swallow, &never, NULL, NULL, &error) ==
              DISKIMG_ERR_IO);
        CHECK(diskimg_error_os_code(error) == ECONNRESET);
        diskimg_error_free(error);
        from.at = 0;
        from.calls = 0;
        from.too_much = 1;
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT,
              convert_stream_to_stream(next, &from, &raw, swallow, &never, NULL, NULL, &error));
    }
    GIVES(DISKIMG_OK, diskimg_open_memory(source.bytes, source.length, NULL, &image, &error));
    left = 1;
    CHECK(convert_to_stream(image, swallow, &left, NULL, NULL, &error) == DISKIMG_ERR_IO);
    CHECK(diskimg_error_os_code(error) == EPIPE);
    diskimg_error_free(error);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_stream(image, negative, NULL, NULL, NULL, &error));
    diskimg_close(image);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT,
          convert_stream_to_stream(next_negative, NULL, &raw, swallow, &never, NULL, NULL, &error));
}

static void progress_never_decreases_for_a_stream_longer_than_its_disk(const char *images) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    memory whole = source, target = new_memory();
    diskimg_io io = memory_io(&target);
    stream from = {0, 0, 0, 0};
    stopper state;

    source = load(images, "good/size-0.qcow2");
    memset(&state, 0, sizeof state);
    state.thread = pthread_self();
    options.progress = count_and_stop;
    options.progress_user = &state;
    GIVES(DISKIMG_OK, convert_stream_to_io(next, &from, NULL, &io, &options, NULL, &error));
    CHECK(state.calls >= 2 && state.last == source.length && target.length == 0);
    free(target.bytes);
    free(source.bytes);
    source = whole;
}

static int inside;

static int alone(void *user, void *buf, size_t len, uint64_t offset, size_t *nread) {
    struct timespec pause = {0, 100000};
    int result;
    CHECK(inside == 0);
    inside = 1;
    nanosleep(&pause, NULL);
    result = memory_pread(user, buf, len, offset, nread);
    inside = 0;
    return result;
}

static void *read_all(void *image) {
    unsigned char buf[4096];
    uint64_t at;
    for (at = 0; at < diskimg_size(image); at += sizeof buf) {
        size_t read;
        CHECK(diskimg_pread(image, buf, sizeof buf, at, &read, NULL) == DISKIMG_OK);
    }
    return NULL;
}

static void serial_file_has_one_call_at_a_time(void) {
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_io io = memory_io(&source);
    diskimg_image *image;
    pthread_t threads[4];
    int i;

    raw.format = DISKIMG_FORMAT_RAW;
    io.flags = DISKIMG_IO_SERIAL;
    io.pread = alone;
    GIVES(DISKIMG_OK, diskimg_open_io(&io, &raw, &image, &error));
    for (i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, read_all, image) == 0);
    }
    for (i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    diskimg_close(image);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    source = load(argv[1], "good/mixed.qcow2");
    snprintf(target_path, sizeof target_path, "%s/callbacks", argv[2]);
    source_failing_at_any_call_gives_its_errno_and_closes_once();
    short_reads_are_continued_and_long_reads_rejected();
    holes_are_reported_and_invalid_ones_rejected();
    target_failing_at_any_call_gives_its_errno_and_closes_once();
    conversion_stops_at_any_call_of_progress();
    check_stops_at_the_read_that_triggers_the_flag();
    streams_fail_at_any_call_with_their_errno();
    progress_never_decreases_for_a_stream_longer_than_its_disk(argv[1]);
    invalid_answers_of_resolve_are_errors_and_closed_once(argv[1]);
    serial_file_has_one_call_at_a_time();
    free(source.bytes);
    return 0;
}
