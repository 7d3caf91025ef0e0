#include "numbers.h"
#include "generated.h"

int three(void)
{
	return 3 * FACTOR / 3;
}
