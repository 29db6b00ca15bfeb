/* Shared by the test programs: checks that print their place, and files in memory. */
#ifndef TEST_H
#define TEST_H
#define _POSIX_C_SOURCE 200809L
#include <diskimg.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

/* Returns the function that the text of a call names: "diskimg_open_path(…" or a helper of targets.h. */
static inline const char *called_function(const char *call) {
    static const char *const helpers[][2] = {
        {"convert_stream_to_", "diskimg_convert_stream"}, {"convert_to_", "diskimg_convert"},
        {"create_", "diskimg_create"},                    {"check_image", "diskimg_check"},
        {"compare_images", "diskimg_compare"},
    };
    static __thread char name[100];
    size_t i;
    for (i = 0; i < sizeof helpers / sizeof *helpers; i++) {
        if (strncmp(call, helpers[i][0], strlen(helpers[i][0])) == 0) {
            return helpers[i][1];
        }
    }
    snprintf(name, sizeof name, "%.*s", (int)strcspn(call, "("), call);
    return name;
}

/* Checks that the header lists a status among the errors of a function. ERRORS names a file with a line for each function:
 * its name and its errors, each followed by a space. */
static inline void check_listed(const char *call, diskimg_status status) {
    const char *function = called_function(call), *path = getenv("ERRORS"), *name = diskimg_status_name(status);
    char macro[64] = "DISKIMG_ERR_", line[1000];
    bool is_listed = false, is_known = false;
    size_t at = strlen(macro);
    FILE *list;

    if (path == NULL || status == DISKIMG_OK || strncmp(function, "diskimg_", 8) != 0) {
        return;
    }
    for (; *name != '\0'; name++) {
        macro[at++] = *name == '-' ? '_' : (char)(*name - 'a' + 'A');
    }
    macro[at++] = ' ';
    macro[at] = '\0';
    list = fopen(path, "r");
    CHECK(list != NULL);
    while (fgets(line, sizeof line, list) != NULL) {
        if (strncmp(line, function, strlen(function)) == 0 && line[strlen(function)] == ' ') {
            is_known = true;
            is_listed = strstr(line, macro) != NULL;
        }
    }
    fclose(list);
    if (!is_known || !is_listed) {
        fprintf(stderr, "%s returned %s, which the header does not list\n", function, macro);
        exit(1);
    }
}

/* Checks that `call` returns `expected`, and that it stores an error in `error` only if it fails. Frees the error. */
#define GIVES(expected, call)                                                                           \
    do {                                                                                                \
        diskimg_error *error = (diskimg_error *)(uintptr_t)1;                                           \
        diskimg_status got = (call);                                                                    \
        if (got != (expected)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call, diskimg_status_name(got), \
                    got == DISKIMG_OK ? "" : diskimg_error_message(error));                             \
            exit(1);                                                                                    \
        }                                                                                               \
        check_listed(#call, got);                                                                       \
        CHECK((got == DISKIMG_OK) == (error == NULL));                                                  \
        CHECK(got == diskimg_error_status(error));                                                      \
        CHECK(got == DISKIMG_OK || diskimg_error_message(error)[0] != '\0');                            \
        diskimg_error_free(error);                                                                      \
    } while (0)

/* A file in memory, and the failures to inject. */
typedef struct memory {
    unsigned char *bytes;
    size_t length, room;
    int calls;     /* number of calls so far, except close */
    int fail_at;   /* the call that fails, counted from 1; 0 for none */
    int fail_with; /* the value it returns, such as an errno */
    int too_much;  /* reports more bytes than requested */
    int one_byte;  /* reads one byte at a time */
    int early_end; /* ends before its size */
    int closed;
    pthread_mutex_t lock;
} memory;

static int memory_call(memory *file) {
    int failed;
    pthread_mutex_lock(&file->lock);
    file->calls++;
    failed = file->calls == file->fail_at ? file->fail_with : 0;
    pthread_mutex_unlock(&file->lock);
    return failed;
}

static int memory_pread(void *user, void *buf, size_t len, uint64_t offset, size_t *nread) {
    memory *file = user;
    int failed = memory_call(file);
    if (failed != 0) {
        return failed;
    }
    if (file->too_much) {
        *nread = len + 1;
        return 0;
    }
    *nread = 0;
    if (offset >= file->length || file->early_end) {
        return 0;
    }
    if (len > file->length - offset) {
        len = (size_t)(file->length - offset);
    }
    if (file->one_byte && len > 1) {
        len = 1;
    }
    memcpy(buf, file->bytes + offset, len);
    *nread = len;
    return 0;
}

static int memory_size(void *user, uint64_t *bytes) {
    memory *file = user;
    *bytes = file->length;
    return memory_call(file);
}

/* Grows under the lock, because several threads write. */
static int memory_pwrite(void *user, const void *buf, size_t len, uint64_t offset) {
    memory *file = user;
    int failed = memory_call(file);
    if (failed != 0) {
        return failed;
    }
    pthread_mutex_lock(&file->lock);
    if (offset + len > file->room) {
        size_t room = (size_t)(offset + len) * 2;
        unsigned char *bytes = realloc(file->bytes, room);
        CHECK(bytes != NULL);
        memset(bytes + file->room, 0, room - file->room);
        file->bytes = bytes;
        file->room = room;
    }
    memcpy(file->bytes + offset, buf, len);
    if (offset + len > file->length) {
        file->length = (size_t)(offset + len);
    }
    pthread_mutex_unlock(&file->lock);
    return 0;
}

static int memory_set_size(void *user, uint64_t bytes) {
    memory *file = user;
    int failed = memory_call(file);
    static const unsigned char zero;
    if (failed == 0 && bytes > file->length) {
        file->calls--;
        return memory_pwrite(user, &zero, 1, bytes - 1);
    }
    return failed;
}

static int memory_flush(void *user) {
    return memory_call(user);
}

static void memory_close(void *user) {
    ((memory *)user)->closed++;
}

static inline diskimg_io memory_io(memory *file) {
    diskimg_io io = DISKIMG_IO_INIT;
    io.user = file;
    io.pread = memory_pread;
    io.size = memory_size;
    io.pwrite = memory_pwrite;
    io.set_size = memory_set_size;
    io.flush = memory_flush;
    io.close = memory_close;
    return io;
}

static inline memory new_memory(void) {
    memory file;
    memset(&file, 0, sizeof file);
    pthread_mutex_init(&file.lock, NULL);
    return file;
}

/* A stream over a file in memory. */
typedef struct memory_stream {
    const memory *file;
    size_t at;
} memory_stream;

static inline int memory_next(void *user, void *buf, size_t len, size_t *nread) {
    memory_stream *from = user;
    size_t left = from->file->length - from->at;
    *nread = len < left ? len : left;
    memcpy(buf, from->file->bytes + from->at, *nread);
    from->at += *nread;
    return 0;
}

static inline memory load(const char *directory, const char *name) {
    memory file = new_memory();
    char path[4096];
    FILE *stream;
    long length;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    stream = fopen(path, "rb");
    CHECK(stream != NULL);
    CHECK(fseek(stream, 0, SEEK_END) == 0);
    length = ftell(stream);
    CHECK(length >= 0);
    rewind(stream);
    file.length = file.room = (size_t)length;
    file.bytes = malloc(file.length + 1);
    CHECK(file.bytes != NULL && fread(file.bytes, 1, file.length, stream) == file.length);
    fclose(stream);
    return file;
}

#endif
