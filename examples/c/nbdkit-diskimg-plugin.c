/* An nbdkit plugin: NBD clients read every format that libdiskimg supports. Read-only.
 *
 *     cc -shared -fPIC -o nbdkit-diskimg-plugin.so nbdkit-diskimg-plugin.c \
 *         $(pkg-config --cflags nbdkit) $(pkg-config --cflags --libs diskimg)
 *     nbdkit -f ./nbdkit-diskimg-plugin.so disk.qcow2
 *     nbdkit -U - ./nbdkit-diskimg-plugin.so disk.qcow2.xz --run 'nbdcopy "$uri" disk.raw'
 *
 * `nbdkit --help ./nbdkit-diskimg-plugin.so` lists the parameters. They are the options of diskimg_open_path(), which
 * diskimg.h describes. By default no other file is opened, no file is taken for a raw disk, and an image that another
 * process writes is refused.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <diskimg.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static char *file, *temporary_directory, *search_directory;
/* The files below the image, nearest first. */
static diskimg_parent *parents;
static char **parent_paths;
static diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
/* One image for all clients. Any thread may read it. */
static diskimg_image *image;

/* The parameters that are true or false. */
static const struct {
    const char *key;
    uint32_t flag;
} switches[] = {
    {"allow_raw", DISKIMG_OPEN_ALLOW_RAW},
    {"references", DISKIMG_OPEN_REFERENCES},
    {"allow_part", DISKIMG_OPEN_ALLOW_PART},
    {"allow_parent_mismatch", DISKIMG_OPEN_ALLOW_PARENT_MISMATCH},
    {"no_unwrap", DISKIMG_OPEN_NO_UNWRAP},
    {"no_temporary", DISKIMG_OPEN_NO_TEMPORARY},
    {"strict", DISKIMG_OPEN_STRICT},
    {"direct", DISKIMG_OPEN_DIRECT},
    {"ignore_locks", DISKIMG_OPEN_IGNORE_LOCKS},
};

/* The parameters that are sizes, such as 64M. */
static const struct {
    const char *key;
    uint64_t *size;
} sizes[] = {
    {"cache", &options.max_cache},
    {"max_size", &options.max_virtual_size},
    {"max_decoder", &options.max_decoder_memory},
    {"max_temporary", &options.max_temporary},
};

/* The parameters that are text. nbdkit keeps it until the plugin is unloaded. */
static const struct {
    const char *key;
    const char **text;
} texts[] = {
    {"snapshot", &options.snapshot},
    {"member", &options.member},
    {"limits", &options.limits},
};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* Returns the parameter that avoids an error; NULL if there is none. */
static const char *remedy(diskimg_status status) {
    switch (status) {
    case DISKIMG_ERR_UNKNOWN_FORMAT:
        return "allow_raw=true serves it as a raw disk";
    case DISKIMG_ERR_REFERENCE:
        return options.flags & DISKIMG_OPEN_REFERENCES ? NULL : "references=true opens files in its directory";
    case DISKIMG_ERR_IN_USE:
        return "ignore_locks=true reads it although it may change";
    default:
        return NULL;
    }
}

/* Reports an error of the library to nbdkit, which sends the errno to the client. */
static int failed(const char *what, diskimg_error *error) {
    int code = diskimg_error_os_code(error);

    nbdkit_error("%s: %s: %s", file, what, diskimg_error_message(error));
    if (remedy(diskimg_error_status(error)) != NULL) {
        nbdkit_error("%s: %s", file, remedy(diskimg_error_status(error)));
    }
    nbdkit_set_error(code == 0 ? EIO : code);
    diskimg_error_free(error);
    return -1;
}

static int set_switch(uint32_t flag, const char *value) {
    int on = nbdkit_parse_bool(value);

    options.flags = on == 1 ? options.flags | flag : options.flags & ~flag;
    return on == -1 ? -1 : 0;
}

static int set_size(uint64_t *size, const char *value) {
    int64_t bytes = nbdkit_parse_size(value);

    *size = (uint64_t)bytes;
    return bytes == -1 ? -1 : 0;
}

/* Sets a path. It is made absolute, because nbdkit may change its directory. */
static int set_path(char **path, const char *value) {
    free(*path);
    *path = nbdkit_realpath(value);
    return *path == NULL ? -1 : 0;
}

static int add_parent(const char *value) {
    size_t count = options.parent_count + 1;
    diskimg_parent parent = DISKIMG_PARENT_INIT;
    diskimg_parent *longer = realloc(parents, count * sizeof *parents);
    char **more = longer == NULL ? NULL : realloc(parent_paths, count * sizeof *parent_paths);

    parents = longer == NULL ? parents : longer;
    parent_paths = more == NULL ? parent_paths : more;
    if (more == NULL) {
        nbdkit_error("realloc: %m");
        return -1;
    }
    parent_paths[count - 1] = NULL;
    if (set_path(&parent_paths[count - 1], value) == -1) {
        return -1;
    }
    parent.path = parent_paths[count - 1];
    parents[count - 1] = parent;
    options.parents = parents;
    options.parent_count = count;
    return 0;
}

static int diskimg_plugin_config(const char *key, const char *value) {
    size_t i;

    if (strcmp(key, "file") == 0) {
        return set_path(&file, value);
    }
    if (strcmp(key, "tmpdir") == 0) {
        int result = set_path(&temporary_directory, value);
        options.temporary_directory = temporary_directory;
        return result;
    }
    if (strcmp(key, "search_dir") == 0) {
        int result = set_path(&search_directory, value);
        options.search_directory = search_directory;
        return result;
    }
    if (strcmp(key, "parent") == 0) {
        return add_parent(value);
    }
    if (strcmp(key, "format") == 0) {
        options.format = diskimg_format_by_name(value);
        if (options.format == DISKIMG_FORMAT_AUTO) {
            nbdkit_error("unknown format '%s'", value);
            return -1;
        }
        return 0;
    }
    if (strcmp(key, "max_depth") == 0) {
        return nbdkit_parse_uint32_t(key, value, &options.max_depth);
    }
    if (strcmp(key, "threads") == 0) {
        return nbdkit_parse_uint32_t(key, value, &options.threads);
    }
    for (i = 0; i < LENGTH(switches); i++) {
        if (strcmp(key, switches[i].key) == 0) {
            return set_switch(switches[i].flag, value);
        }
    }
    for (i = 0; i < LENGTH(sizes); i++) {
        if (strcmp(key, sizes[i].key) == 0) {
            return set_size(sizes[i].size, value);
        }
    }
    for (i = 0; i < LENGTH(texts); i++) {
        if (strcmp(key, texts[i].key) == 0) {
            *texts[i].text = value;
            return 0;
        }
    }
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int diskimg_plugin_config_complete(void) {
    if (file == NULL) {
        nbdkit_error("the parameter file=NAME is required");
        return -1;
    }
    return 0;
}

/* Called before nbdkit forks to become a daemon, so that errors are visible. The library leaves no thread running after
 * a call, so the child can use the image. */
static int diskimg_plugin_get_ready(void) {
    diskimg_error *error;

    if (diskimg_open_path(file, &options, &image, &error) != DISKIMG_OK) {
        return failed("open", error);
    }
    return 0;
}

static void diskimg_plugin_unload(void) {
    diskimg_close(image);
    while (options.parent_count > 0) {
        free(parent_paths[--options.parent_count]);
    }
    free(parent_paths);
    free(parents);
    free(search_directory);
    free(temporary_directory);
    free(file);
}

static void *diskimg_plugin_open(int readonly) {
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t diskimg_plugin_get_size(void *handle) {
    (void)handle;
    return (int64_t)diskimg_size(image);
}

static int diskimg_plugin_can_multi_conn(void *handle) {
    (void)handle;
    return 1;
}

/* Bounds of the preferred block size in the NBD protocol; the larger one is also the largest request that any client
 * may send. */
enum { SMALLEST_PREFERRED = 4096, LARGEST_REQUEST = 32 << 20 };

/* Any range can be read. Whole clusters are preferred, because a compressed cluster is decompressed as a whole. */
static int diskimg_plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum) {
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_error *error;

    (void)handle;
    if (diskimg_get_info(image, &info, &error) != DISKIMG_OK) {
        return failed("block size", error);
    }
    *minimum = 1;
    *preferred = SMALLEST_PREFERRED;
    while (*preferred < info.cluster_size && *preferred < LARGEST_REQUEST) {
        *preferred *= 2;
    }
    *maximum = LARGEST_REQUEST;
    return 0;
}

/* With NBDKIT_CACHE_EMULATE, nbdkit reads the range. This fills the page cache, which direct I/O does not use. */
static int diskimg_plugin_can_cache(void *handle) {
    (void)handle;
    return options.flags & DISKIMG_OPEN_DIRECT ? NBDKIT_CACHE_NONE : NBDKIT_CACHE_EMULATE;
}

static int diskimg_plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags) {
    diskimg_error *error;

    (void)handle;
    (void)flags;
    if (diskimg_pread(image, buf, count, offset, NULL, &error) != DISKIMG_OK) {
        return failed("read", error);
    }
    return 0;
}

static int diskimg_plugin_can_extents(void *handle) {
    (void)handle;
    return 1;
}

/* A range without data is a hole, also if the image allocates it, as in qemu-nbd. */
static int diskimg_plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                                  struct nbdkit_extents *extents) {
    diskimg_extent entries[64];
    diskimg_error *error;
    uint64_t end = offset + count;
    size_t number, i;

    (void)handle;
    while (offset < end) {
        if (diskimg_extents(image, offset, end - offset, entries, 64, &number, &error) != DISKIMG_OK) {
            return failed("extents", error);
        }
        for (i = 0; i < number; i++) {
            uint32_t type = 0;
            if (entries[i].flags & DISKIMG_EXTENT_ZERO) {
                type |= NBDKIT_EXTENT_ZERO;
                if (!(entries[i].flags & DISKIMG_EXTENT_DATA)) {
                    type |= NBDKIT_EXTENT_HOLE;
                }
            }
            if (nbdkit_add_extent(extents, entries[i].start, entries[i].length, type) == -1) {
                return -1;
            }
            offset = entries[i].start + entries[i].length;
        }
        if (flags & NBDKIT_FLAG_REQ_ONE) {
            break;
        }
    }
    return 0;
}

static const char *diskimg_plugin_export_description(void *handle) {
    diskimg_info info = DISKIMG_INFO_INIT;

    (void)handle;
    if (diskimg_get_info(image, &info, NULL) != DISKIMG_OK) {
        return NULL;
    }
    return diskimg_format_name(info.format);
}

static void diskimg_plugin_dump_plugin(void) {
    diskimg_format format;

    printf("libdiskimg_version=%s\n", diskimg_version_string());
    for (format = 1; diskimg_format_name(format) != NULL; format++) {
        if (diskimg_format_caps(format) & DISKIMG_CAN_READ) {
            printf("diskimg_%s=yes\n", diskimg_format_name(format));
        }
    }
}

static struct nbdkit_plugin plugin = {
    .name = "diskimg",
    .longname = "virtual-disk images with libdiskimg, read-only",
    .version = "0.1",
    .dump_plugin = diskimg_plugin_dump_plugin,
    .unload = diskimg_plugin_unload,
    .config = diskimg_plugin_config,
    .config_complete = diskimg_plugin_config_complete,
    .config_help = "file=<FILENAME>               (required) The image.\n"
                   "format=<NAME>                 Its format; detected by default.\n"
                   "allow_raw=<BOOL>              Serve a file without a known format as a raw disk.\n"
                   "snapshot=<ID>                 Serve an internal snapshot, by its id or name.\n"
                   "member=<NAME>                 The disk to serve from an archive with several.\n"
                   "references=<BOOL>             Open backing, extent and data files in its directory.\n"
                   "search_dir=<DIRECTORY>        Look for these files there first.\n"
                   "parent=<FILENAME>             The file below the image; again for the one below that.\n"
                   "max_depth=<NUMBER>            The largest number of files below the image; default 16.\n"
                   "allow_part=<BOOL>             Serve one extent of a disk that has several.\n"
                   "allow_parent_mismatch=<BOOL>  Accept a parent other than the recorded one.\n"
                   "strict=<BOOL>                 Refuse an image with any warning.\n"
                   "ignore_locks=<BOOL>           Read an image that another process may write.\n"
                   "direct=<BOOL>                 Bypass the page cache.\n"
                   "cache=<SIZE>                  The size of the metadata cache; default 16M.\n"
                   "no_unwrap=<BOOL>              Do not decompress a gz, xz or zst file.\n"
                   "no_temporary=<BOOL>           Refuse an image that needs a temporary file.\n"
                   "tmpdir=<DIRECTORY>            The directory for temporary files.\n"
                   "threads=<NUMBER>              Threads that decompress a file; default one per core.\n"
                   "max_size=<SIZE>               The largest virtual size; default 64T.\n"
                   "max_decoder=<SIZE>            The largest dictionary of a decoder; default 128M.\n"
                   "max_temporary=<SIZE>          The largest temporary file; default 64G.\n"
                   "limits=<NAME=NUMBER,...>      Further limits, as for --limit of the diskimg command.",
    .magic_config_key = "file",
    .get_ready = diskimg_plugin_get_ready,
    .open = diskimg_plugin_open,
    .export_description = diskimg_plugin_export_description,
    .get_size = diskimg_plugin_get_size,
    .block_size = diskimg_plugin_block_size,
    .can_multi_conn = diskimg_plugin_can_multi_conn,
    .can_cache = diskimg_plugin_can_cache,
    .pread = diskimg_plugin_pread,
    .can_extents = diskimg_plugin_can_extents,
    .extents = diskimg_plugin_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
