/* The threads of the library: their names, the signals that they block, and their end. Arguments: the images of the
 * repository, and a scratch directory. */
#define _GNU_SOURCE
#include "images.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static pthread_t caller;
static int on_workers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Returns true if a set of blocked signals has all but those of faults, and those that cannot be blocked. */
static bool blocks_all(const sigset_t *set) {
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    int number;
    for (number = 1; number <= SIGRTMAX; number++) {
        bool is_exempt = number > 31 && number < SIGRTMIN;
        size_t i;
        for (i = 0; i < sizeof never / sizeof *never; i++) {
            is_exempt |= number == never[i];
        }
        if (!is_exempt && sigismember(set, number) != 1) {
            return false;
        }
    }
    return true;
}

/* Called by callbacks: checks the thread that they run on, unless it is the caller's. */
static void check_thread(void) {
    char name[16] = "";
    sigset_t blocked;

    if (pthread_equal(caller, pthread_self())) {
        return;
    }
    CHECK(prctl(PR_GET_NAME, name) == 0 && strncmp(name, "diskimg-", 8) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0 && blocks_all(&blocked));
    pthread_mutex_lock(&lock);
    on_workers++;
    pthread_mutex_unlock(&lock);
}

/* Checks the threads that run no callback too, such as those of liblzma. */
static void check_all_threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;

    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], line[200];
        FILE *status;
        if (entry->d_name[0] == '.' || atol(entry->d_name) == (long)getpid()) {
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        status = fopen(path, "r");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            if (strncmp(line, "SigBlk:", 7) == 0) {
                unsigned long long bits = strtoull(line + 7, NULL, 16);
                CHECK(bits >> (SIGUSR1 - 1) & 1 && bits >> (SIGTERM - 1) & 1 && bits >> (SIGALRM - 1) & 1);
            }
        }
        if (status != NULL) {
            fclose(status);
        }
    }
    closedir(tasks);
}

static memory source;

/* Triggered by the first read of the source; NULL for none. */
static diskimg_cancel *stopping;

static int watched_pread(void *user, void *buf, size_t len, uint64_t offset, size_t *nread) {
    check_thread();
    diskimg_cancel_trigger(stopping);
    return memory_pread(user, buf, len, offset, nread);
}

static int watched_pwrite(void *user, const void *buf, size_t len, uint64_t offset) {
    check_thread();
    return memory_pwrite(user, buf, len, offset);
}

/* A disk of bytes that do not compress well, read through callbacks. */
static diskimg_image *open_large(void) {
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_io io = memory_io(&source);
    diskimg_image *image;

    raw.format = DISKIMG_FORMAT_RAW;
    io.pread = watched_pread;
    GIVES(DISKIMG_OK, diskimg_open_io(&io, &raw, &image, &error));
    return image;
}

static void workers_have_a_name_and_block_signals(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *image = open_large();
    memory target = new_memory();
    diskimg_io io = memory_io(&target);
    sigset_t before, after;

    io.pwrite = watched_pwrite;
    options.threads = 4;
    options.max_memory = 1 << 20;
    options.format = DISKIMG_FORMAT_QCOW2;
    options.flags = DISKIMG_CONVERT_COMPRESS;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
    on_workers = 0;
    GIVES(DISKIMG_OK, convert_to_io(image, &io, &options, NULL, &error));
    CHECK(on_workers > 0);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    CHECK(sigismember(&before, SIGUSR1) == sigismember(&after, SIGUSR1) && !blocks_all(&after));
    free(target.bytes);
    diskimg_close(image);
}

/* A stream that fails at an offset; 0 for none. */
typedef struct watched_stream {
    memory_stream stream;
    size_t fail_at;
} watched_stream;

static int watched_read(void *user, void *buf, size_t len, size_t *nread) {
    watched_stream *from = user;
    check_thread();
    check_all_threads();
    CHECK(memory_next(&from->stream, buf, len < 60000 ? len : 60000, nread) == 0);
    return from->fail_at != 0 && from->stream.at >= from->fail_at ? ECONNRESET : 0;
}

static void reader_and_decoders_of_a_stream_block_signals(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    memory file = load(images, "good/blocks-and-streams.raw.xz"), target = new_memory();
    diskimg_io io = memory_io(&target);
    watched_stream from = {{&source, 0}, 0};

    options.threads = 4;
    options.format = DISKIMG_FORMAT_RAW;
    on_workers = 0;
    GIVES(DISKIMG_OK, convert_stream_to_io(watched_read, &from, &options, &io, NULL, NULL, &error));
    CHECK(on_workers > 0);
    from.stream.file = &file;
    from.stream.at = 0;
    GIVES(DISKIMG_OK, convert_stream_to_io(watched_read, &from, &options, &io, NULL, NULL, &error));
    free(target.bytes);
    free(file.bytes);
}

static volatile sig_atomic_t handled_on_worker, handled;

static void handler(int number) {
    (void)number;
    handled = 1;
    if ((pid_t)syscall(SYS_gettid) != getpid()) {
        handled_on_worker = 1;
    }
}

/* While workers run, blocks a signal on the only thread of the program that would handle it, and sends it. */
static int send_signal(void *user, uint64_t done, uint64_t total) {
    struct timespec pause = {0, 2000000};
    sigset_t usr1, before;
    (void)user, (void)done, (void)total;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &usr1, &before) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    nanosleep(&pause, NULL);
    CHECK(!handled_on_worker);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return 0;
}

static void signal_to_the_process_is_never_handled_on_a_worker(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_compare_options comparing = DISKIMG_COMPARE_OPTIONS_INIT;
    diskimg_image *image = open_large();
    memory target = new_memory();
    diskimg_io io = memory_io(&target);
    struct sigaction action, old;
    bool equal;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(SIGUSR1, &action, &old) == 0);
    options.threads = 4;
    options.max_memory = 1 << 20;
    comparing.progress = options.progress = send_signal;
    GIVES(DISKIMG_OK, convert_to_io(image, &io, &options, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_compare(image, image, &comparing, &equal, NULL, &error));
    CHECK(handled && !handled_on_worker);
    CHECK(sigaction(SIGUSR1, &old, NULL) == 0);
    free(target.bytes);
    diskimg_close(image);
}

static void threads_have_ended_when_a_call_fails(void) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_open_options raw = DISKIMG_OPEN_OPTIONS_INIT;
    int call, before = entries("/proc/self/task");

    options.threads = 4;
    options.max_memory = 1 << 20;
    options.format = DISKIMG_FORMAT_QCOW2;
    raw.format = DISKIMG_FORMAT_RAW;
    for (call = 1; call < 5; call++) {
        diskimg_image *image;
        memory target = new_memory();
        diskimg_io io = memory_io(&target);
        watched_stream from = {{&source, 0}, (size_t)call * 100000};
        int returned = call % 2 == 0 ? EIO : -3;
        diskimg_status failed = call % 2 == 0 ? DISKIMG_ERR_IO : DISKIMG_ERR_INVALID_ARGUMENT;

        source.calls = source.fail_at = 0;
        image = open_large();
        source.fail_at = source.calls + call;
        source.fail_with = returned;
        GIVES(failed, convert_to_io(image, &io, &options, NULL, &error));
        CHECK(entries("/proc/self/task") == before);
        source.fail_at = 0;
        target.calls = 0;
        target.fail_at = call;
        target.fail_with = returned;
        GIVES(failed, convert_to_io(image, &io, &options, NULL, &error));
        CHECK(entries("/proc/self/task") == before);
        target.fail_at = 0;
        options.cancel = stopping = diskimg_cancel_new();
        GIVES(DISKIMG_ERR_CANCELLED, convert_to_io(image, &io, &options, NULL, &error));
        CHECK(entries("/proc/self/task") == before);
        diskimg_cancel_free(stopping);
        options.cancel = stopping = NULL;
        GIVES(DISKIMG_ERR_IO, convert_stream_to_io(watched_read, &from, &raw, &io, NULL, NULL, &error));
        CHECK(entries("/proc/self/task") == before);
        free(target.bytes);
        diskimg_close(image);
    }
}

static void all(void) {
    size_t i;

    caller = pthread_self();
    source = new_memory();
    source.length = source.room = 6 << 20;
    source.bytes = malloc(source.length);
    CHECK(source.bytes != NULL);
    for (i = 0; i < source.length; i++) {
        source.bytes[i] = (unsigned char)(i * i >> 7);
    }
    workers_have_a_name_and_block_signals();
    reader_and_decoders_of_a_stream_block_signals();
    signal_to_the_process_is_never_handled_on_a_worker();
    threads_have_ended_when_a_call_fails();
    free(source.bytes);
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
