/* Error numbers of the system: the cases of tests/errno.tsv, which has the calls and the conditions. Arguments: the
 * images of the repository, and a scratch directory. */
#define _GNU_SOURCE
#include "images.h"
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>

enum { SIZE = 1 << 20, USER = 65534, ROOM = 4096 };

typedef struct row { char call[16], condition[16], errno_name[16], fault[16]; } row;

/* An image with a backing file, and one without. */
static memory overlay, alone;

static row rows[200];
static size_t row_count;
static int wrong;

/* The image, and a zstd frame of stored blocks with it (RFC 8878, section 3.1.1). */
static unsigned char image[SIZE], frame[SIZE + 64];
static size_t frame_length;

static void fill_images(void) {
    static const unsigned char start[] = {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0x10, 0};
    size_t at, block = 1 << 17;
    for (at = 0; at < SIZE; at++) {
        image[at] = (unsigned char)(at % 251 + 1);
    }
    memcpy(frame, start, sizeof start);
    frame_length = sizeof start;
    for (at = 0; at < SIZE; at += block) {
        size_t header = block << 3 | (at + block == SIZE);
        frame[frame_length++] = (unsigned char)header;
        frame[frame_length++] = (unsigned char)(header >> 8);
        frame[frame_length++] = (unsigned char)(header >> 16);
        memcpy(frame + frame_length, image + at, block);
        frame_length += block;
    }
}

static void read_rows(void) {
    FILE *table = fopen(in(images, "../errno.tsv"), "r");
    char line[256];
    bool heading = true;
    CHECK(table != NULL);
    while (fgets(line, sizeof line, table) != NULL) {
        if (line[0] == '#') {
            continue;
        }
        if (!heading) {
            row *next = &rows[row_count++];
            CHECK(row_count < sizeof rows / sizeof *rows);
            CHECK(sscanf(line, "%15s %15s %15s %15s", next->call, next->condition, next->errno_name, next->fault) == 4);
        }
        heading = false;
    }
    fclose(table);
    CHECK(row_count > 50);
}

static int number(const char *name) {
    static const struct { const char *name; int number; } known[] = {
        {"EACCES", EACCES}, {"EBADF", EBADF},   {"EEXIST", EEXIST}, {"EFBIG", EFBIG},
        {"EISDIR", EISDIR}, {"ELOOP", ELOOP},   {"EMFILE", EMFILE}, {"ENAMETOOLONG", ENAMETOOLONG},
        {"ENOENT", ENOENT}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS},   {"ENOTDIR", ENOTDIR},
    };
    size_t i;
    for (i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return known[i].number;
        }
    }
    CHECK(!"a known name");
    return 0;
}

static bool is(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

static bool reads(const char *call) {
    return is(call, "open") || is(call, "inspect") || is(call, "parent");
}

static bool takes_directory(const char *call) {
    return is(call, "search") || is(call, "spool");
}

static void join(char *path, const char *dir, const char *rest) {
    CHECK(snprintf(path, ROOM, "%s/%s", dir, rest) < ROOM);
}

/* Prepares a case in `dir` and stores the path for the call. */
static void prepare(const char *dir, const row *row, char *path) {
    char file[ROOM], name[301];
    FILE *stream;

    join(file, dir, "file");
    stream = fopen(file, "wb");
    CHECK(stream != NULL);
    if (reads(row->call) || is(row->call, "in-place")) {
        fwrite(image, 1, 4096, stream);
    }
    fclose(stream);
    if (is(row->condition, "absent")) {
        bool old = reads(row->call) || takes_directory(row->call) || is(row->call, "in-place");
        join(path, dir, old ? "absent" : "absent/disk");
    } else if (is(row->condition, "under-file")) {
        join(path, dir, "file/disk");
    } else if (is(row->condition, "directory")) {
        join(path, dir, ".");
    } else if (is(row->condition, "file") || is(row->condition, "for-reading")) {
        join(path, dir, "file");
    } else if (is(row->condition, "loop")) {
        char link[ROOM];
        join(link, dir, "one");
        CHECK(symlink("two", link) == 0);
        join(link, dir, "two");
        CHECK(symlink("one", link) == 0);
        join(path, dir, "one/disk");
    } else if (is(row->condition, "long")) {
        snprintf(name, sizeof name, "%0300d", 0);
        join(path, dir, name);
    } else if (reads(row->call) || is(row->call, "in-place") || is(row->call, "descriptor")) {
        join(path, dir, "file");
    } else if (takes_directory(row->call)) {
        join(path, dir, "inner");
        CHECK(mkdir(path, 0755) == 0);
    } else {
        join(path, dir, "disk");
    }
}

static int read_image(void *user, void *buf, size_t len, size_t *nread) {
    size_t *at = user;
    *nread = len < SIZE - *at ? len : SIZE - *at;
    memcpy(buf, image + *at, *nread);
    *at += *nread;
    return 0;
}

static diskimg_status create_and_write(const diskimg_target *target, diskimg_error **error) {
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_writer *writer;
    diskimg_status status;
    options.format = DISKIMG_FORMAT_RAW;
    status = diskimg_create(target, SIZE, &options, &writer, error);
    if (status == DISKIMG_OK) {
        status = diskimg_write(writer, image, SIZE, 0, error);
        if (status == DISKIMG_OK) {
            status = diskimg_finish(writer, error);
        }
        diskimg_writer_free(writer);
    }
    return status;
}

/* Makes the call; `fd` is the descriptor of the target, or -1. */
static diskimg_status make(const row *row, const char *path, int fd, diskimg_error **error) {
    diskimg_open_options open_options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_parent parent = {sizeof(diskimg_parent), NULL, DISKIMG_FORMAT_RAW, 0};
    diskimg_target target = path_target(path);
    diskimg_image *opened = NULL;
    diskimg_status status;
    size_t at = 0;

    open_options.flags = DISKIMG_OPEN_ALLOW_RAW;
    options.format = DISKIMG_FORMAT_RAW;
    if (fd >= 0) {
        target = fd_target(fd);
    }
    if (is(row->call, "open") || is(row->call, "inspect")) {
        open_options.flags |= is(row->call, "inspect") ? DISKIMG_OPEN_INFO_ONLY : 0;
        status = diskimg_open_path(path, &open_options, &opened, error);
    } else if (is(row->call, "spool")) {
        open_options.temporary_directory = path;
        status = diskimg_open_memory(frame, frame_length, &open_options, &opened, error);
    } else if (is(row->call, "parent") || is(row->call, "search")) {
        const memory *file = is(row->call, "parent") ? &overlay : &alone;
        parent.path = path;
        open_options.parents = is(row->call, "parent") ? &parent : NULL;
        open_options.parent_count = is(row->call, "parent");
        open_options.search_directory = is(row->call, "search") ? path : NULL;
        status = diskimg_open_memory(file->bytes, file->length, &open_options, &opened, error);
    } else if (is(row->call, "create")) {
        status = create_and_write(&target, error);
    } else if (is(row->call, "stream")) {
        diskimg_stream stream = stream_of(read_image, &at);
        status = diskimg_convert_stream(&stream, &open_options, &target, &options, NULL, error);
    } else {
        options.flags |= is(row->call, "replace") ? DISKIMG_CONVERT_OVERWRITE : 0;
        options.flags |= is(row->call, "in-place") ? DISKIMG_CONVERT_IN_PLACE : 0;
        CHECK(diskimg_open_memory(image, SIZE, &open_options, &opened, NULL) == DISKIMG_OK);
        status = diskimg_convert(opened, &target, &options, NULL, error);
    }
    diskimg_close(opened);
    return status;
}

/* Runs one case. With `no_descriptors`, all descriptors are in use meanwhile. */
static void run_case(const row *row, const char *path, bool no_descriptors) {
    static const char *const faults[] = {"unknown", "image", "caller", "machine"};
    int taken[512], count = 0, fd = -1;
    diskimg_error *error = NULL;
    diskimg_status status;

    if (is(row->call, "descriptor")) {
        bool directory = is(row->condition, "directory"), read_only = directory || is(row->condition, "for-reading");
        fd = open(path, read_only ? O_RDONLY : O_RDWR);
        CHECK(fd >= 0);
    }
    while (no_descriptors && count < 512 && (taken[count] = dup(0)) >= 0) {
        count++;
    }
    status = make(row, path, fd, &error);
    while (count > 0) {
        close(taken[--count]);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (status == DISKIMG_OK || diskimg_error_os_code(error) != number(row->errno_name) ||
        !is(faults[diskimg_error_fault(error)], row->fault)) {
        fprintf(stderr, "%s %s: %s, errno %d, expected %s: %s\n", row->call, row->condition,
                diskimg_status_name(status), diskimg_error_os_code(error), row->errno_name,
                diskimg_error_message(error));
        wrong = 1;
    }
    CHECK((status == DISKIMG_ERR_EXISTS) == is(row->errno_name, "EEXIST"));
    diskimg_error_free(error);
}

/* Runs all cases with a condition in a directory. */
static void run_cases(const char *condition, const char *dir, void (*between)(const char *)) {
    static char paths[200][ROOM];
    size_t i;

    for (i = 0; i < row_count; i++) {
        if (is(rows[i].condition, condition) && !is(rows[i].call, "check")) {
            char own[ROOM];
            char name[64];
            snprintf(name, sizeof name, "%s-%s", rows[i].call, condition);
            join(own, dir, name);
            CHECK(mkdir(own, 0755) == 0);
            prepare(own, &rows[i], paths[i]);
        }
    }
    if (between != NULL) {
        between(dir);
    }
    for (i = 0; i < row_count; i++) {
        if (is(rows[i].condition, condition) && !is(rows[i].call, "check")) {
            run_case(&rows[i], paths[i], is(condition, "descriptors"));
        }
    }
}

static void remount_read_only(const char *dir) {
    CHECK(mount("none", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=256k") == 0);
}

static void become_another_user(const char *dir) {
    CHECK(chmod(dir, 0700) == 0 && setgid(USER) == 0 && setuid(USER) == 0);
}

static void refused_paths_are_reported_with_their_number(const char *dir) {
    static const char *const conditions[] = {"absent", "under-file", "directory", "file", "loop", "long", "for-reading"};
    size_t i;
    for (i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        run_cases(conditions[i], dir, NULL);
    }
}

static void limits_of_the_process_are_reported_with_their_number(const char *dir) {
    struct rlimit files, size, lower;

    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0 && getrlimit(RLIMIT_FSIZE, &size) == 0);
    lower = files;
    lower.rlim_cur = 64;
    CHECK(setrlimit(RLIMIT_NOFILE, &lower) == 0);
    run_cases("descriptors", dir, NULL);
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    lower = size;
    lower.rlim_cur = 64 << 10;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &lower) == 0);
    run_cases("size", dir, NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &size) == 0);
}

static void another_user_is_refused_with_the_number(const char *dir) {
    int status;
    pid_t child;

    if (geteuid() != 0) {
        puts("skipped: only root can become another user");
        return;
    }
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run_cases("permission", dir, become_another_user);
        _exit(wrong);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void file_system_is_reported_with_the_number(const char *dir) {
    if (mount("none", dir, "tmpfs", 0, "size=256k") != 0) {
        puts("skipped: no file system can be mounted here");
        return;
    }
    run_cases("full", dir, NULL);
    run_cases("read-only", dir, remount_read_only);
    CHECK(umount(dir) == 0);
}

static const char *fresh(const char *name) {
    static char paths[4][ROOM];
    static int next;
    char *path = paths[next++ % 4];
    join(path, scratch, name);
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static void all(void) {
    fill_images();
    read_rows();
    overlay = load(in(images, "good"), "top-on-raw.qcow2");
    alone = load(in(images, "good"), "mixed.qcow2");
    refused_paths_are_reported_with_their_number(fresh("errno-paths-XXXXXX"));
    limits_of_the_process_are_reported_with_their_number(fresh("errno-limits-XXXXXX"));
    another_user_is_refused_with_the_number(fresh("errno-user-XXXXXX"));
    file_system_is_reported_with_the_number(fresh("errno-mount-XXXXXX"));
    free(overlay.bytes);
    free(alone.bytes);
    CHECK(!wrong);
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
