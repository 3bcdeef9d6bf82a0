#include "words.h"

#include <errno.h>
#include <stdio.h>

#define NAME(e) \
	case e: \
		return #e

/* Returns the name of an errno that operations on sockets, descriptors and memory can set. */
static const char *
errno_name(int number)
{
	switch (number) {
		NAME(EPERM);
		NAME(ENOENT);
		NAME(ESRCH);
		NAME(EINTR);
		NAME(EIO);
		NAME(ENXIO);
		NAME(E2BIG);
		NAME(EBADF);
		NAME(EAGAIN);
		NAME(ENOMEM);
		NAME(EACCES);
		NAME(EFAULT);
		NAME(EBUSY);
		NAME(EEXIST);
		NAME(EXDEV);
		NAME(ENODEV);
		NAME(ENOTDIR);
		NAME(EISDIR);
		NAME(EINVAL);
		NAME(ENFILE);
		NAME(EMFILE);
		NAME(ENOTTY);
		NAME(ETXTBSY);
		NAME(EFBIG);
		NAME(ENOSPC);
		NAME(ESPIPE);
		NAME(EROFS);
		NAME(EPIPE);
		NAME(EDOM);
		NAME(ERANGE);
		NAME(EDEADLK);
		NAME(ENAMETOOLONG);
		NAME(ENOSYS);
		NAME(ELOOP);
		NAME(ENOMSG);
		NAME(EPROTO);
		NAME(EBADMSG);
		NAME(EOVERFLOW);
		NAME(EILSEQ);
		NAME(ENOTSOCK);
		NAME(EDESTADDRREQ);
		NAME(EMSGSIZE);
		NAME(EPROTOTYPE);
		NAME(ENOPROTOOPT);
		NAME(EPROTONOSUPPORT);
		NAME(EOPNOTSUPP);
		NAME(EAFNOSUPPORT);
		NAME(EADDRINUSE);
		NAME(EADDRNOTAVAIL);
		NAME(ENETDOWN);
		NAME(ENETUNREACH);
		NAME(ENETRESET);
		NAME(ECONNABORTED);
		NAME(ECONNRESET);
		NAME(ENOBUFS);
		NAME(EISCONN);
		NAME(ENOTCONN);
		NAME(ETIMEDOUT);
		NAME(ECONNREFUSED);
		NAME(EHOSTUNREACH);
		NAME(EALREADY);
		NAME(EINPROGRESS);
		NAME(ECANCELED);
#ifdef ESHUTDOWN
		NAME(ESHUTDOWN);
#endif
#ifdef ETOOMANYREFS
		NAME(ETOOMANYREFS);
#endif
#ifdef EPFNOSUPPORT
		NAME(EPFNOSUPPORT);
#endif
#ifdef ESOCKTNOSUPPORT
		NAME(ESOCKTNOSUPPORT);
#endif
#ifdef EHOSTDOWN
		NAME(EHOSTDOWN);
#endif
	default:
		return NULL;
	}
}

void
print_errno(int number)
{
	const char *name = errno_name(number);

	if (name != NULL)
		printf("%s", name);
	else
		printf("%d", number);
}
