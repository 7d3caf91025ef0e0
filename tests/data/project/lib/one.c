#include "numbers.h"
#include "generated.h"

int one(void)
{
	return 1 * FACTOR / 3;
}
