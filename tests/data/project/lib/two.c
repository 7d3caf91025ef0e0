#include "numbers.h"
#include "generated.h"

int two(void)
{
	return 2 * FACTOR / 3;
}
