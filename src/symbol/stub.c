/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in until the tables are there; then this file goes. */
#include "symbol/symbol.h"
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <libiberty/demangle.h>
struct symbol_pool { int x; };
struct symbol_file { int users; size_t n; struct symbol *s; };
struct symbol_jit { int x; };
struct symbol_pool *symbol_pool_new(const struct symbol_limits *l) { (void)l; return calloc(1, 4); }
void symbol_pool_free(struct symbol_pool *p) { free(p); }
void symbol_pool_state(const struct symbol_pool *p, struct symbol_pool_state *r) { (void)p; memset(r, 0, sizeof *r); }
static int cmp(const void *a, const void *b) { const struct symbol *x = a, *y = b; return (x->address > y->address) - (x->address < y->address); }
int symbol_file_get(struct symbol_pool *p, const struct symbol_source *src, struct symbol_file **ret)
{
	(void)p;
	struct symbol_file *f = calloc(1, sizeof *f);
	f->users = 1;
	elf_version(EV_CURRENT);
	Elf *e = src->fd >= 0 ? elf_begin(src->fd, ELF_C_READ, NULL) : NULL;
	Elf_Scn *s = NULL;
	while (e && (s = elf_nextscn(e, s))) {
		GElf_Shdr sh;
		gelf_getshdr(s, &sh);
		if (sh.sh_type != SHT_SYMTAB && sh.sh_type != SHT_DYNSYM) continue;
		Elf_Data *d = elf_getdata(s, NULL);
		for (int i = 0; d && i < (int)(sh.sh_size / sh.sh_entsize); i++) {
			GElf_Sym y;
			gelf_getsym(d, i, &y);
			int t = GELF_ST_TYPE(y.st_info);
			if (!y.st_shndx || y.st_shndx >= SHN_LORESERVE || (t > 2 && t != 10)) continue;
			f->s = realloc(f->s, sizeof(*f->s) * (f->n + 1));
			f->s[f->n++] = (struct symbol){ strdup(elf_strptr(e, sh.sh_link, y.st_name)), y.st_value, y.st_size, t, GELF_ST_BIND(y.st_info), 0 };
		}
	}
	elf_end(e);
	qsort(f->s, f->n, sizeof *f->s, cmp);
	*ret = f;
	return 0;
}
struct symbol_file *symbol_file_ref(struct symbol_file *f) { f->users++; return f; }
void symbol_file_put(struct symbol_file *f) { (void)f; }
int symbol_file_at(const struct symbol_file *f, uint64_t a, struct symbol *r)
{
	size_t lo = 0, hi = f->n;
	while (lo < hi) { size_t m = (lo + hi) / 2; if (f->s[m].address <= a) lo = m + 1; else hi = m; }
	if (!lo || a >= f->s[lo - 1].address + f->s[lo - 1].size) return -ENOENT;
	*r = f->s[lo - 1];
	return 0;
}
int symbol_file_find(const struct symbol_file *f, const char *n, struct symbol *r)
{
	for (size_t i = 0; i < f->n; i++) if (!strcmp(f->s[i].name, n)) { *r = f->s[i]; return 0; }
	return -ENOENT;
}
int symbol_file_each(const struct symbol_file *f, int (*v)(const struct symbol *, void *), void *d)
{
	int r = 0;
	for (size_t i = 0; i < f->n && !r; i++) r = v(&f->s[i], d);
	return r;
}
bool symbol_file_is_partial(const struct symbol_file *f) { (void)f; return false; }
struct symbol_jit *symbol_jit_new(void) { return calloc(1, 4); }
void symbol_jit_free(struct symbol_jit *j) { free(j); }
int symbol_jit_read(struct symbol_jit *j, int r, int64_t p, uid_t o) { (void)j, (void)r, (void)p, (void)o; return -ENOENT; }
int symbol_jit_at(const struct symbol_jit *j, uint64_t a, struct symbol *r) { (void)j, (void)a, (void)r; return -ENOENT; }
char *symbol_demangle(const char *n) { return cplus_demangle(n, DMGL_PARAMS | DMGL_ANSI); }
