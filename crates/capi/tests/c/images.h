/* The images of the repository, and a scratch directory. */
#ifndef IMAGES_H
#define IMAGES_H
#include "targets.h"
#include <dirent.h>

static const char *images, *scratch;

static inline const char *in(const char *directory, const char *name) {
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static inline diskimg_image *open_good(const char *name) {
    char path[4096];
    diskimg_image *image;
    snprintf(path, sizeof path, "%s/good/%s", images, name);
    GIVES(DISKIMG_OK, diskimg_open_path(path, NULL, &image, &error));
    return image;
}

static inline bool same(const diskimg_image *a, const diskimg_image *b) {
    bool equal = false;
    uint64_t first = 0;
    GIVES(DISKIMG_OK, compare_images(a, b, NULL, &equal, &first, &error));
    CHECK(equal == (first == UINT64_MAX));
    return equal;
}

/* Counts the entries of a directory of /proc/self: open files or threads. */
static int entries(const char *path) {
    DIR *directory = opendir(path);
    int count = 0;
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* Runs the tests of a program, and checks that no file stays open and no thread keeps running. */
static int run(int argc, char **argv, void (*tests)(void)) {
    int files, threads;

    CHECK(argc == 3);
    images = argv[1];
    scratch = argv[2];
    files = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    tests();
    CHECK(entries("/proc/self/fd") == files);
    CHECK(entries("/proc/self/task") == threads);
    return 0;
}

#endif
