#include "numbers.h"
#include "generated.h"

int five(void)
{
	return 5 * FACTOR / 3;
}
