/** A route handler, which is called without React. */
import { burnAs } from '../../../../burn.cjs';

export const dynamic = 'force-dynamic';

export async function GET(request, { params }) {
  const { id } = await params;
  return Response.json({ id, millis: await burnAs(id) });
}
