/** A NestJS application with a guard, an interceptor and an injected service, which knows nothing of profiles. */
import 'reflect-metadata';
import {
  Controller,
  Get,
  Injectable,
  Module,
  Param,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { map, type Observable } from 'rxjs';
import burners from '../../burn.cjs';

@Injectable()
class SlowGuard implements CanActivate {
  async canActivate(): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return true;
  }
}

@Injectable()
class Wrapper implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler<string>): Observable<{ answer: string }> {
    return next.handle().pipe(map((answer) => ({ answer })));
  }
}

@Injectable()
class WorkService {
  async work(id: string): Promise<string> {
    await burners.burnAs(id);
    return `done ${id}`;
  }
}

@Controller('work')
@UseGuards(SlowGuard)
@UseInterceptors(Wrapper)
class WorkController {
  constructor(private readonly service: WorkService) {}

  @Get(':id')
  work(@Param('id') id: string): Promise<string> {
    return this.service.work(id);
  }
}

@Module({ controllers: [WorkController], providers: [WorkService] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
console.log(await app.getUrl());
