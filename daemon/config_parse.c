/* SPDX-License-Identifier: MIT */
/*
 * config_parse: the three kinds of sources.
 *
 * DESIGN. All three come down to config_assign(option, text). What is unknown is refused wherever
 * it stands, because an option that is silently ignored is found out on the worst day.
 *
 * The file is read by inih, fed by a reader of ours that does what inih leaves out: it notes
 * sections, so that an empty or unknown one is seen and a long name is not cut; refuses lines that
 * would not fit into inih's line instead of splitting them; and drops indentation, so that an
 * indented option is an option and not a continuation of the line above.
 */
#include "daemon/config_parse.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* --- the file -------------------------------------------------------------------------------- */

struct file_reader {
	struct config_draft *draft;
	struct problem *problem;
	const char *path;
	FILE *file;
	char *line; /* getline's */
	size_t line_room;
	unsigned line_n;   /* number of the current line */
	char section[128]; /* "" before the first one */
	size_t ns;         /* SIZE_MAX unless the section is a namespace's */
	unsigned failed;   /* the line that could not be taken, or 0; problem is set */
};

/* Begins with the file and the line. */
static void file_problem(struct file_reader *r, const char *text)
{
	problem_set(r->problem, -EINVAL, "%s:%u: %s", r->path, r->line_n, text);
	r->failed = r->line_n;
}

static void unknown_section(struct file_reader *r)
{
	const char *names[16];
	const char *meant;
	char text[320];

	assert(option_section_n <= ARRAY_LEN(names));
	for (size_t i = 0; i < option_section_n; i++)
		names[i] = option_sections[i].name;
	meant = config_nearest(r->section, names, option_section_n);
	snprintf(text, sizeof(text), "there is no section [%s]; %s[%s]%s", log_value(r->section),
		 meant ? "did you mean " : "there are ", meant ? meant : names[0],
		 meant ? "?" : "");
	for (size_t i = 1; i < option_section_n && !meant; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " [%s]", names[i]);
	file_problem(r, text);
}

/* line begins with '['. A missing ']' is left to inih, which refuses the line. */
static void begin_section(struct file_reader *r, const char *line)
{
	const char *end = strchr(line, ']');
	const char *name, *rest;
	struct problem why;

	if (end == NULL)
		return;
	if ((size_t)(end - line) > sizeof(r->section)) {
		file_problem(r, "the name of the section is too long");
		return;
	}
	/* inih would drop it */
	rest = end + 1 + strspn(end + 1, " \t");
	if (*rest && *rest != ';' && *rest != '#') {
		file_problem(r, "an option goes on the line after its [section]");
		return;
	}
	snprintf(r->section, sizeof(r->section), "%.*s", (int)(end - line - 1), line + 1);
	r->ns = SIZE_MAX;
	for (size_t i = 0; i < option_section_n - 1; i++) {
		if (strcmp(r->section, option_sections[i].name) == 0)
			return;
	}
	if (strcmp(r->section, "namespace") == 0) {
		r->ns = 0;
		return;
	}
	if (strncmp(r->section, "namespace ", strlen("namespace ")) != 0) {
		unknown_section(r);
		return;
	}
	name = r->section + strlen("namespace ");
	if (config_namespace_add(r->draft, slice_str(name), &r->ns, &why) < 0)
		file_problem(r, why.text);
}

/* inih's fgets: a line without indentation and line end, in at most n - 1 bytes. */
static char *next_line(char *out, int n, void *arg)
{
	struct file_reader *r = arg;
	ssize_t got;
	char *p, *end;

	if (r->failed)
		return NULL;
	got = getline(&r->line, &r->line_room, r->file);
	if (got < 0)
		return NULL;
	r->line_n++;
	p = r->line;
	end = p + got;
	if (r->line_n == 1 && strncmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	p += strspn(p, " \t");
	while (end > p && (end[-1] == '\n' || end[-1] == '\r'))
		*--end = '\0';
	if (strlen(p) != (size_t)(end - p)) {
		file_problem(r, "there is a NUL byte in the line");
		return NULL;
	}
	/* Comments may be as long as they like. */
	if (*p == '#' || *p == ';')
		end = p;
	if (end - p >= n) {
		char text[160];
		snprintf(text, sizeof(text),
			 "the line is longer than %d bytes; options that take several words may be "
			 "given on several lines",
			 n - 1);
		file_problem(r, text);
		return NULL;
	}
	if (*p == '[' && end > p)
		begin_section(r, p);
	if (r->failed)
		return NULL;
	memcpy(out, p, (size_t)(end - p));
	out[end - p] = '\0';
	return out;
}

/* A second line for the same option: words add up, anything else is a slip. Return the text to set,
 * to be freed, or NULL after a problem. */
static char *add_line(struct file_reader *r, const struct config_target *t, const char *value)
{
	const struct config_origin *origin = config_target_origin(r->draft, t);
	struct buf both = {.cap = 1 << 20};
	char text[128];
	char *ret;

	if (origin->source != CONFIG_FILE)
		return xstrdup(value);
	if (t->option->type != OPTION_TYPE_WORDS) {
		snprintf(text, sizeof(text), "%s was set before, on line %u; remove one of the two",
			 option_short_name(t->option), origin->line);
		file_problem(r, text);
		return NULL;
	}
	option_format(t->option, &r->draft->cfg, &both);
	buf_add_char(&both, ' ');
	buf_add_str(&both, value);
	ret = xstrndup(buf_slice(&both).p, both.n);
	buf_fini(&both);
	return ret;
}

/* inih's handler: not zero is good. section is cut at 49 bytes there; ours is not. */
static int on_pair(void *arg, const char *section, const char *name, const char *value)
{
	struct file_reader *r = arg;
	struct config_origin origin = {CONFIG_FILE, r->line_n};
	const char *ns = r->ns != SIZE_MAX ? r->draft->ns[r->ns].name : NULL;
	struct config_target target;
	char place[512], typed[256];
	char *text;
	int rc;

	UNUSED(section);
	if (r->section[0] == '\0') {
		file_problem(r,
			     "an option stands in a section; begin with a line such as [server]");
		return 0;
	}
	snprintf(typed, sizeof(typed), "[%s] %s", r->section, name);
	snprintf(place, sizeof(place), "%.200s:%u: %s", r->path, r->line_n, typed);
	if (config_find_in_section(r->section, r->ns, name, &target) < 0) {
		snprintf(place, sizeof(place), "%.200s:%u: [%s] %s", r->path, r->line_n, r->section,
			 log_value(name));
		config_unknown(CONFIG_FILE, ns, place, typed, name, r->problem);
		r->failed = r->line_n;
		return 0;
	}
	text = add_line(r, &target, value);
	if (text == NULL)
		return 0;
	rc = config_assign(r->draft, &target, place, text, origin, r->problem);
	free(text);
	if (rc < 0)
		r->failed = r->line_n;
	return rc == 0;
}

int config_parse_file(struct config_draft *d, const char *path, struct problem *problem)
{
	struct file_reader r = {.draft = d, .problem = problem, .path = path, .ns = SIZE_MAX};
	int bad_line, rc = 0;

	if (!option_text_is_clean(path))
		return problem_set(problem, -EINVAL, "%s is no good name for a configuration file",
				   log_value(path));
	r.file = fopen(path, "re");
	if (r.file == NULL)
		return problem_set(problem, -errno, "cannot open the configuration file %s: %s",
				   path, strerror(errno));
	errno = 0;
	bad_line = ini_parse_stream(next_line, &r, on_pair, &r);
	if (ferror(r.file)) {
		rc = problem_set(problem, errno ? -errno : -EIO,
				 "cannot read the configuration file %s: %s", path,
				 strerror(errno ? errno : EIO));
	} else if (bad_line > 0 && (unsigned)bad_line != r.failed) {
		/* earlier than what we found ourselves, if anything */
		rc = problem_set(problem, -EINVAL,
				 "%s:%d: expected `name = value`, `[section]` or a comment (#)",
				 path, bad_line);
	} else if (r.failed) {
		rc = -EINVAL;
	}
	free(r.line);
	fclose(r.file);
	if (rc == 0)
		d->cfg.file = xstrdup(path);
	return rc;
}

/* --- the environment ------------------------------------------------------------------------- */

#define ENV_PREFIX "HOLDFAST_"
#define ENV_CONFIG "HOLDFAST_CONFIG"

/* Kubernetes (and old Docker links) put variables named after every service into every container: a
 * service called holdfast gives HOLDFAST_SERVICE_HOST, HOLDFAST_PORT=tcp://…,
 * HOLDFAST_PORT_8080_TCP_ADDR and so on. */
static bool is_not_ours(const char *name, const char *value)
{
	size_t n = strlen(name), host_n = strlen("_SERVICE_HOST");
	const char *port = strstr(name, "_PORT");

	/* Those of the holdfast command. */
	if (strcmp(name, "HOLDFAST_URL") == 0 || strcmp(name, "HOLDFAST_SOCKET") == 0)
		return true;
	if (n > host_n && strcmp(name + n - host_n, "_SERVICE_HOST") == 0)
		return true;
	if (strstr(name, "_SERVICE_PORT"))
		return true;
	if (port == NULL)
		return false;
	port += strlen("_PORT");
	if (*port == '\0')
		return strstr(value, "://") != NULL;
	return port[0] == '_' && port[1] >= '0' && port[1] <= '9';
}

const char *config_file_of_environment(char **envp)
{
	size_t n = strlen(ENV_CONFIG);

	for (char **e = envp; e && *e; e++) {
		if (strncmp(*e, ENV_CONFIG "=", n + 1) == 0)
			return (*e)[n + 1] ? *e + n + 1 : NULL;
	}
	return NULL;
}

static int parse_variable(struct config_draft *d, const char *name, const char *value,
			  struct problem *problem)
{
	struct config_target target;
	struct config_origin origin = {CONFIG_ENVIRONMENT, 0};

	if (strcmp(name, ENV_CONFIG) == 0)
		return 0;
	if (config_find(d, CONFIG_ENVIRONMENT, name, &target) == 0)
		return config_assign(d, &target, name, value, origin, problem);
	if (is_not_ours(name, value))
		return 0;
	return config_unknown(CONFIG_ENVIRONMENT, NULL, log_value(name), name,
			      name + strlen(ENV_PREFIX), problem);
}

int config_parse_environment(struct config_draft *d, char **envp, struct problem *problem)
{
	for (char **e = envp; e && *e; e++) {
		const char *equals = strchr(*e, '=');
		char *name;
		int rc;

		if (strncmp(*e, ENV_PREFIX, strlen(ENV_PREFIX)) != 0 || equals == NULL)
			continue;
		name = xstrndup(*e, (size_t)(equals - *e));
		rc = parse_variable(d, name, equals + 1, problem);
		free(name);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- the command line ------------------------------------------------------------------------ */

/* The arguments, one flag at a time. */
struct arguments {
	int argc, next;
	char **argv;
	char *name;        /* "--name", without the value */
	const char *value; /* of --name=VALUE, else NULL */
};

static bool next_flag(struct arguments *a)
{
	const char *text, *equals;

	if (a->next >= a->argc)
		return false;
	text = a->argv[a->next++];
	equals = strncmp(text, "--", 2) == 0 ? strchr(text, '=') : NULL;
	free(a->name);
	a->name = xstrndup(text, equals ? (size_t)(equals - text) : strlen(text));
	a->value = equals ? equals + 1 : NULL;
	return true;
}

static int take_value(struct arguments *a, const char *what, const char **ret,
		      struct problem *problem)
{
	if (a->value == NULL && a->next < a->argc)
		a->value = a->argv[a->next++];
	if (a->value == NULL)
		return problem_set(problem, -EINVAL, "%s needs a value: %s", a->name, what);
	*ret = a->value;
	return 0;
}

static int take_format(struct arguments *a, struct config_action *ret, struct problem *problem)
{
	static const char *const formats[] = {"markdown", "scdoc", "example"};
	const char *word = "";
	int rc = take_value(a, "markdown, scdoc or example", &word, problem);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(formats); i++) {
		if (strcmp(word, formats[i]) == 0) {
			*ret = (struct config_action){CONFIG_PRINT_OPTIONS, (enum config_format)i};
			return 0;
		}
	}
	return rc < 0 ? rc
		      : problem_set(problem, -EINVAL, "--print-options: expected %s, %s or %s",
				    formats[0], formats[1], formats[2]);
}

/* A flag that sets no option. Return 1 when it was one, 0 when not, or a negative errno. */
static int take_command(struct arguments *a, struct config_command *c, struct problem *problem)
{
	static const struct {
		const char *name, *also;
		enum config_verb verb;
	} verbs[] = {
		{"--help", "-h", CONFIG_HELP},
		{"--version", "-V", CONFIG_VERSION},
		{"--check-config", "--check-config", CONFIG_CHECK},
		{"--dump-config", "--dump-config", CONFIG_DUMP},
	};
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(a->name, verbs[i].name) != 0 && strcmp(a->name, verbs[i].also) != 0)
			continue;
		if (a->value)
			return problem_set(problem, -EINVAL, "%s takes no value", a->name);
		c->action.verb = verbs[i].verb;
		return 1;
	}
	if (strcmp(a->name, "-c") == 0 || strcmp(a->name, "--config") == 0) {
		rc = take_value(a, "the configuration file", &c->file, problem);
		return rc < 0 ? rc : 1;
	}
	if (strcmp(a->name, "--print-options") == 0) {
		rc = take_format(a, &c->action, problem);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

static int take_option(struct arguments *a, struct config_draft *d, struct config_command *c,
		       struct problem *problem)
{
	struct config_flag *f = &c->flags[c->flag_n];
	struct buf allowed = {.cap = 512};
	int rc;

	if (strncmp(a->name, "--", 2) != 0)
		return problem_set(
			problem, -EINVAL,
			"%s: there is no such argument; options are --section-name VALUE, and "
			"holdfastd --help lists all",
			log_value(a->name));
	if (config_find(d, CONFIG_FLAG, a->name, &f->target) < 0)
		return config_unknown(CONFIG_FLAG, NULL, log_value(a->name), a->name, a->name + 2,
				      problem);
	option_allowed(f->target.option, &allowed);
	buf_add_char(&allowed, '\0');
	rc = take_value(a, buf_slice(&allowed).p, &f->value, problem);
	buf_fini(&allowed);
	if (rc < 0)
		return rc;
	f->name = xstrdup(a->name);
	c->flag_n++;
	return 0;
}

bool config_wants_options(const struct config_command *c)
{
	return c->action.verb == CONFIG_RUN || c->action.verb == CONFIG_CHECK ||
	       c->action.verb == CONFIG_DUMP;
}

int config_parse_command(struct config_draft *d, int argc, char **argv, struct config_command *ret,
			 struct problem *problem)
{
	struct arguments a = {.argc = argc, .next = 1, .argv = argv};
	int rc = 0;

	memset(ret, 0, sizeof(*ret));
	ret->flags = xcalloc((size_t)argc + 1, sizeof(*ret->flags));
	while (rc >= 0 && config_wants_options(ret) && next_flag(&a)) {
		rc = take_command(&a, ret, problem);
		if (rc == 0)
			rc = take_option(&a, d, ret, problem);
	}
	free(a.name);
	if (rc < 0)
		config_command_fini(ret);
	return rc < 0 ? rc : 0;
}

void config_command_fini(struct config_command *c)
{
	for (size_t i = 0; i < c->flag_n; i++)
		free(c->flags[i].name);
	free(c->flags);
	memset(c, 0, sizeof(*c));
}

int config_parse_flags(struct config_draft *d, const struct config_command *c,
		       struct problem *problem)
{
	struct config_origin origin = {CONFIG_FLAG, 0};
	int rc = 0;

	for (size_t i = 0; i < c->flag_n && rc == 0; i++)
		rc = config_assign(d, &c->flags[i].target, c->flags[i].name, c->flags[i].value,
				   origin, problem);
	return rc;
}
