/* A tree of files in a directory of its own, for what reads sysfs, procfs or /etc with the root as an argument. */
#pragma once

struct made_tree {
    char root[64];
};

void made_tree_init(struct made_tree *tree);
void made_tree_deinit(struct made_tree *tree); /* removes it */

/* Makes ROOT/path with the directories above it. text NULL: a directory. */
void made_tree_add(const struct made_tree *tree, const char *path, const char *text);

/* A symbolic link at ROOT/path, as sysfs has them. */
void made_tree_link(const struct made_tree *tree, const char *path, const char *target);
