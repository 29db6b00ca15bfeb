/* Calls that take long are cancelled: opening, measuring, creating. Arguments: the images of the repository, and a
 * scratch directory. */
#include "images.h"

/* One xz stream of 1 MiB of zeros. Streams may follow each other. */
static const unsigned char zeros[] = {
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01,
    0x0c, 0x00, 0x00, 0x00, 0x8f, 0x98, 0x41, 0x9c, 0xef, 0xff, 0xff, 0x00, 0xd9, 0x5d, 0x00, 0x00,
    0x6f, 0xfd, 0xff, 0xff, 0xa3, 0xb7, 0xff, 0x47, 0x3e, 0x48, 0x15, 0x72, 0x39, 0x61, 0x51, 0xb8,
    0x92, 0x28, 0xe6, 0xa3, 0x86, 0x07, 0xf9, 0xee, 0xe4, 0x1e, 0x82, 0xd3, 0x2f, 0xc5, 0x3a, 0x3c,
    0x01, 0x4b, 0xb1, 0x7e, 0xc9, 0x8a, 0x8a, 0x4d, 0x2f, 0xa3, 0x0d, 0xd9, 0x7f, 0xa6, 0xe3, 0x8c,
    0x23, 0x11, 0x53, 0xe0, 0x59, 0x18, 0xc5, 0x75, 0x8a, 0xe2, 0x77, 0xf8, 0xb6, 0x94, 0x7f, 0x0c,
    0x6a, 0xc0, 0xde, 0x74, 0x49, 0x64, 0xe2, 0xe9, 0x5c, 0x53, 0xb2, 0x04, 0xd8, 0xf7, 0x44, 0x0c,
    0xab, 0x5f, 0x0d, 0x6d, 0x46, 0xe9, 0xe5, 0xc3, 0x76, 0x88, 0xb7, 0x96, 0x57, 0xac, 0xb6, 0x4d,
    0xe1, 0x69, 0x1d, 0x6f, 0xfb, 0x4b, 0x88, 0x10, 0x6c, 0x42, 0xcb, 0x88, 0x3f, 0x5c, 0x00, 0x8f,
    0xd0, 0x4e, 0xaf, 0x26, 0x28, 0x94, 0x71, 0x1f, 0x3d, 0x8f, 0x24, 0xe1, 0x70, 0x9e, 0xa7, 0x23,
    0x5f, 0xec, 0x28, 0xcb, 0x85, 0xd1, 0x95, 0x98, 0x8a, 0x7e, 0x2a, 0x91, 0xf2, 0x27, 0x75, 0xf7,
    0x19, 0xc0, 0x06, 0x98, 0x4d, 0x98, 0xfd, 0xd8, 0xaf, 0xd5, 0x90, 0x0f, 0xc4, 0x25, 0x53, 0xf8,
    0xf5, 0x91, 0x36, 0x31, 0x05, 0xa5, 0xb0, 0xee, 0x6f, 0xc1, 0x70, 0x4d, 0x47, 0x0c, 0xd1, 0x91,
    0x11, 0xaa, 0xad, 0x60, 0x1d, 0xba, 0xce, 0xb1, 0x27, 0x18, 0x5c, 0x59, 0x86, 0xe9, 0x66, 0x52,
    0x58, 0xbe, 0xe9, 0x76, 0xac, 0x59, 0xe4, 0xe5, 0x5b, 0x05, 0x08, 0xf9, 0xc7, 0xda, 0xad, 0xfc,
    0xfb, 0x52, 0x2a, 0xf7, 0xe4, 0x95, 0x25, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1c, 0xea, 0x38, 0xa7,
    0x00, 0x01, 0xf1, 0x01, 0x80, 0x80, 0x40, 0x00, 0x6f, 0xd5, 0xee, 0xdc, 0x3e, 0x30, 0x0d, 0x8b,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
};

/* A compressed disk of 1 TiB, which nothing could decompress in the time of a test. */
#define STREAMS ((uint64_t)1 << 20)

static int xz_size(void *user, uint64_t *bytes) {
    (void)user;
    *bytes = STREAMS * sizeof zeros;
    return 0;
}

static int xz_pread(void *user, void *buf, size_t len, uint64_t offset, size_t *nread) {
    size_t i;
    (void)user;
    for (i = 0; i < len; i++) {
        ((unsigned char *)buf)[i] = zeros[(offset + i) % sizeof zeros];
    }
    *nread = len;
    return 0;
}

typedef struct trigger {
    diskimg_cancel *flag;
    struct timespec at;
    long delay;
} trigger;

static void *trigger_later(void *user) {
    trigger *state = user;
    struct timespec delay = {0, 0};
    delay.tv_nsec = state->delay;
    nanosleep(&delay, NULL);
    clock_gettime(CLOCK_MONOTONIC, &state->at);
    diskimg_cancel_trigger(state->flag);
    return NULL;
}

static trigger begin(pthread_t *thread, trigger *state) {
    state->flag = diskimg_cancel_new();
    state->delay = 150000000;
    CHECK(pthread_create(thread, NULL, trigger_later, state) == 0);
    return *state;
}

/* Checks that a call returned soon after its flag was triggered. A machine with load, or valgrind, may be slow; 20 ms are usual. */
static void end(const char *what, pthread_t thread, trigger *state) {
    struct timespec now;
    double ms;
    CHECK(pthread_join(thread, NULL) == 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (double)(now.tv_sec - state->at.tv_sec) * 1e3 + (double)(now.tv_nsec - state->at.tv_nsec) / 1e6;
    printf("%s: returned %.1f ms after the cancel\n", what, ms);
    CHECK(ms < 20000);
    diskimg_cancel_free(state->flag);
}

static void opening_of_a_large_compressed_image_is_cancelled(void) {
    static const uint32_t flags[] = {0, DISKIMG_OPEN_INFO_ONLY};
    diskimg_io io = DISKIMG_IO_INIT;
    size_t i;

    io.pread = xz_pread;
    io.size = xz_size;
    for (i = 0; i < 2; i++) {
        diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
        diskimg_image *image;
        pthread_t thread;
        trigger state;

        options.format = DISKIMG_FORMAT_RAW;
        options.flags = flags[i];
        options.temporary_directory = scratch;
        options.limits = "temporary-files=2T";
        begin(&thread, &state);
        options.cancel = state.flag;
        GIVES(DISKIMG_ERR_CANCELLED, diskimg_open_io(&io, &options, &image, &error));
        end(i == 0 ? "open" : "open for information", thread, &state);
        /* A flag that is triggered already stops at once. */
        state.flag = diskimg_cancel_new();
        diskimg_cancel_trigger(state.flag);
        options.cancel = state.flag;
        GIVES(DISKIMG_ERR_CANCELLED, diskimg_open_io(&io, &options, &image, &error));
        diskimg_cancel_free(state.flag);
    }
}

typedef struct counter {
    int calls, stop_at;
    uint64_t last;
} counter;

static int count(void *user, uint64_t done, uint64_t total) {
    counter *state = user;
    CHECK(done >= state->last && (total == 0 || done <= total));
    state->last = done;
    return ++state->calls == state->stop_at;
}

static void opening_reports_progress_that_can_cancel(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    memory file = load(images, "good/blocks-and-streams.raw.xz");
    counter state = {0, 0, 0};
    diskimg_image *image;
    int call, calls;

    options.format = DISKIMG_FORMAT_RAW;
    options.progress = count;
    options.progress_user = &state;
    GIVES(DISKIMG_OK, diskimg_open_memory(file.bytes, file.length, &options, &image, &error));
    CHECK(state.last > 0 && state.last <= diskimg_size(image));
    calls = state.calls;
    CHECK(calls >= 3);
    diskimg_close(image);
    for (call = 1; call < calls; call++) {
        state.calls = 0;
        state.last = 0;
        state.stop_at = call;
        GIVES(DISKIMG_ERR_CANCELLED, diskimg_open_memory(file.bytes, file.length, &options, &image, &error));
        CHECK(image == NULL && state.calls == call);
    }
    free(file.bytes);
}

static int next(void *user, void *buf, size_t len, size_t *nread) {
    uint64_t *at = user;
    CHECK(xz_pread(NULL, buf, len, *at, nread) == 0);
    *at += *nread;
    return 0;
}

static int discard(void *user, const void *buf, size_t len) {
    (void)user, (void)buf, (void)len;
    return 0;
}

static void stream_is_cancelled_by_the_flag_of_either_options(void) {
    size_t i;
    for (i = 0; i < 2; i++) {
        diskimg_open_options opening = DISKIMG_OPEN_OPTIONS_INIT;
        diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
        pthread_t thread;
        trigger state;
        uint64_t at = 0;

        opening.format = DISKIMG_FORMAT_RAW;
        begin(&thread, &state);
        *(i == 0 ? &opening.cancel : &options.cancel) = state.flag;
        GIVES(DISKIMG_ERR_CANCELLED,
              convert_stream_to_stream(next, &at, &opening, discard, NULL, &options, NULL, &error));
        end("stream", thread, &state);
    }
}

static void preallocation_is_cancelled_and_leaves_no_file(void) {
    static const char *const settings[] = {"preallocation=full", "preallocation=full"};
    static const diskimg_format formats[] = {DISKIMG_FORMAT_RAW, DISKIMG_FORMAT_QCOW2};
    const char *path = in(scratch, "preallocated");
    size_t i;

    for (i = 0; i < 2; i++) {
        diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
        diskimg_writer *writer;
        diskimg_status status;
        pthread_t thread;
        trigger state;

        options.format = formats[i];
        options.settings = settings[i];
        options.flags = DISKIMG_CONVERT_NO_SYNC;
        begin(&thread, &state);
        options.cancel = state.flag;
        status = diskimg_create(&(diskimg_target){sizeof(diskimg_target), path, -1, 0, NULL, NULL, NULL},
                                (uint64_t)(i == 0 ? 64 : 16) << 30, &options, &writer, NULL);
        /* An image is filled when it is finished. */
        CHECK(i == 0 ? status == DISKIMG_ERR_CANCELLED : status == DISKIMG_OK);
        if (status == DISKIMG_OK) {
            GIVES(DISKIMG_ERR_CANCELLED, diskimg_finish(writer, &error));
        }
        end("create", thread, &state);
        diskimg_writer_free(writer);
        CHECK(access(path, F_OK) != 0);
    }
}

typedef struct writes {
    int calls;
    diskimg_cancel *flag;
} writes;

static int trip_pwrite(void *user, const void *buf, size_t len, uint64_t offset) {
    writes *state = user;
    (void)buf, (void)len, (void)offset;
    if (++state->calls == 3) {
        diskimg_cancel_trigger(state->flag);
    }
    return 0;
}

static void zeros_of_a_callback_target_are_cancelled(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_io io = DISKIMG_IO_INIT;
    writes state = {0, NULL};
    diskimg_writer *writer;

    state.flag = diskimg_cancel_new();
    io.user = &state;
    io.pwrite = trip_pwrite;
    options.cancel = state.flag;
    GIVES(DISKIMG_OK, create_io(&io, (uint64_t)1 << 40, &options, &writer, &error));
    GIVES(DISKIMG_ERR_CANCELLED, diskimg_finish(writer, &error));
    CHECK(state.calls == 3);
    diskimg_writer_free(writer);
    diskimg_cancel_free(state.flag);
}

static void measuring_checking_and_comparing_report_progress_that_can_cancel(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_check_options checking = DISKIMG_CHECK_OPTIONS_INIT;
    diskimg_compare_options comparing = DISKIMG_COMPARE_OPTIONS_INIT;
    diskimg_image *image = open_good("mixed.qcow2");
    counter state = {0, 0, 0};
    uint64_t required, first;
    bool equal;

    options.format = DISKIMG_FORMAT_QCOW2; /* the size of a raw target does not depend on the extents */
    options.progress = checking.progress = comparing.progress = count;
    options.progress_user = checking.progress_user = comparing.progress_user = &state;
    for (state.stop_at = 0; state.stop_at < 3; state.stop_at++) {
        diskimg_status expected = state.stop_at == 0 ? DISKIMG_OK : DISKIMG_ERR_CANCELLED;
        bool checks = diskimg_format_caps(DISKIMG_FORMAT_QCOW2) & DISKIMG_CAN_CHECK;
        state.calls = 0;
        state.last = 0;
        GIVES(expected, diskimg_measure(image, &options, &required, NULL, &error));
        CHECK(state.stop_at != 0 || state.last == diskimg_size(image));
        CHECK((required == 0) == (expected != DISKIMG_OK));
        state.calls = 0;
        state.last = 0;
        if (state.stop_at < 2) { /* other threads may compare all of it before the second report */
            GIVES(expected, diskimg_compare(image, image, &comparing, &equal, &first, &error));
            CHECK(state.stop_at != 0 || state.last == diskimg_size(image));
        }
        state.calls = 0;
        state.last = 0;
        if (checks) {
            GIVES(expected, diskimg_check(image, &checking, NULL, &error));
            CHECK(state.stop_at != 0 || state.last == diskimg_size(image));
        }
    }
    diskimg_close(image);
}

static void all(void) {
    opening_of_a_large_compressed_image_is_cancelled();
    opening_reports_progress_that_can_cancel();
    stream_is_cancelled_by_the_flag_of_either_options();
    preallocation_is_cancelled_and_leaves_no_file();
    zeros_of_a_callback_target_are_cancelled();
    measuring_checking_and_comparing_report_progress_that_can_cancel();
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
